"""How a scene is filmed and lit: camera, lamp, backdrop, and what glows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from mmfusion.data.ink import Ink


@dataclass(frozen=True)
class View:
    """Where the camera stands and looks (m), and its vertical opening angle (degrees)."""

    position: tuple = (1.42, -0.78, 0.86)
    target: tuple = (0.31, 0.02, 0.15)
    opening: float | int = 37


@dataclass(frozen=True)
class Light:
    """A lamp (m) that casts shadows, and what reaches every surface from the room.

    A surface's colour is multiplied by ``ambient`` + ``diffuse`` · cosine, where the cosine counts ``shaded``
    in the lamp's shadow, and by ``tint`` (red, green, blue).
    """

    lamp: tuple = (0.75, -1.15, 2.0)
    ambient: float | int = 0.42
    diffuse: float | int = 0.68
    shaded: float | int = 0.22
    tint: tuple = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Backdrop:
    """What rays see that hit nothing: a wall, lighter towards the top, and the floor below it."""

    low: tuple = (0.60, 0.68, 0.76)
    high: tuple = (0.90, 0.93, 0.96)
    floor: tuple = (0.30, 0.32, 0.36)

    def paint(self, rays: Float[np.ndarray, "rays 3"]) -> Float[np.ndarray, "rays 3"]:
        """Colours of rays by their slope."""
        slope = rays[:, 2]
        share = np.clip((slope + 0.55) / 0.6, 0, 1)[:, None]
        wall = (1 - share) * np.array(self.low) + share * np.array(self.high)
        return np.where(slope[:, None] < -0.55, np.array(self.floor), wall).astype(np.float32)


@dataclass(frozen=True)
class Look:
    """How an episode is filmed."""

    view: View = field(default_factory=View)
    light: Light = field(default_factory=Light)
    backdrop: Backdrop = field(default_factory=Backdrop)


@dataclass(frozen=True)
class Effects:
    """What changes a picture beside the places of the geoms.

    ``arcs``: position (m) and power (0 to about 1) of welding arcs. ``glow``: light that a geom sends out itself
    (red, green, blue), by geom number. ``ink``: drawings, by the number of the box geom whose upper face they are on.
    """

    arcs: Sequence[tuple[np.ndarray, float]] = ()
    glow: Mapping[int, tuple] = field(default_factory=dict)
    ink: Mapping[int, Ink] = field(default_factory=dict)


PLAIN = Effects()
ARC_COLOUR = np.array([0.80, 0.90, 1.0], dtype=np.float32)
ARC_LIGHT = 0.011  # an arc of power 1 lights a facing surface at 0.1 m about as brightly as the lamp (m²)
HALO = ((0.010, 1.5), (0.045, 0.45), (0.14, 0.16))  # size (m) and strength of the arc's halo in the lens


def arc_light(
    points: Float[np.ndarray, "points 3"],
    normals: Float[np.ndarray, "points 3"],
    position: np.ndarray,
    power: float | int,
) -> Float[np.ndarray, "points 3"]:
    """Light of a point source: Lambert's cosine over the squared distance. It casts no shadow."""
    away = position.astype(np.float32) - points
    square = np.einsum("ij,ij->i", away, away) + np.float32(1e-4)
    cosine = np.maximum(np.einsum("ij,ij->i", away, normals), 0) / np.sqrt(square)
    return (np.float32(power * ARC_LIGHT) * cosine / square)[:, None] * ARC_COLOUR


def add_halo(
    image: Float[np.ndarray, "size size 3"], centre: np.ndarray, scale: float | int, power: float | int
) -> None:
    """What a bright point does to a lens: a white core and a soft halo about ``centre`` (pixels), added in place.

    ``scale`` is the number of pixels of a metre at the point's distance.
    """
    pixels = np.arange(len(image)) + 0.5
    for width, strength in HALO:
        spread = max(width * scale, 0.5)
        near = [np.flatnonzero(np.abs(pixels - c) < 3 * spread) for c in centre]
        if min(map(len, near)) == 0:
            continue
        columns, rows = (slice(n[0], n[-1] + 1) for n in near)
        bell = [np.exp(-0.5 * ((pixels - c) / spread) ** 2) for c in centre]
        spot = power * strength * np.outer(bell[1][rows], bell[0][columns])
        image[rows, columns] += spot.astype(np.float32)[..., None] * ARC_COLOUR
