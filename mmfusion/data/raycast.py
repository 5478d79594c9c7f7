"""A camera without OpenGL: MuJoCo's own ray caster and Lambert shading in NumPy.

One ray per pixel gives the geom, the distance and the surface normal; a second bundle of rays, cast from the
lamp towards the points that the camera sees, tells which of them lie in shadow. The picture needs no display,
no driver and no random number. Surfaces may glow, carry ink, and be lit by welding arcs (see `Effects`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import mujoco
import numpy as np
from jaxtyping import Bool, Float, UInt8

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

    arcs: Sequence[tuple[Float[np.ndarray, "3"], float]] = ()
    glow: Mapping[int, tuple] = field(default_factory=dict)
    ink: Mapping[int, Ink] = field(default_factory=dict)


ARC_COLOUR = np.array([0.80, 0.90, 1.0], dtype=np.float32)
ARC_REACH = 0.011  # an arc of power 1 lights a surface at this distance (m), squared, as brightly as the lamp
HALO = ((0.010, 1.5), (0.045, 0.45), (0.14, 0.16))  # size (m) and strength of the arc's halo in the lens
BEHIND = 0.4  # share of the halo that remains where something stands before the arc
PLAIN = Effects()


class Camera:
    """Renders a model at ``size`` x ``size`` pixels.

    Parameters
    ----------
    model : the compiled MuJoCo model; its geoms' ``rgba`` are the surface colours, and a geom whose alpha is 0
        is not there.
    size : pixels per side, at least 8.
    look : view, light and backdrop.
    """

    def __init__(self, model: mujoco.MjModel, size: int, look: Look | None = None):
        if size < 8:
            raise ValueError(f"an image needs at least 8 pixels per side, got size={size}")
        look = look or Look()
        self.model, self.size, self.light = model, size, look.light
        self.lamp = np.asarray(look.light.lamp, dtype=float)
        self.origin = np.asarray(look.view.position, dtype=float)
        forward = np.asarray(look.view.target, dtype=float) - self.origin
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        up = np.cross(right, forward)
        self.axes = np.stack([right, up, forward])
        self.edge = np.tan(np.radians(look.view.opening) / 2)
        across = (np.arange(size) + 0.5) / size * 2 - 1
        x, y = np.meshgrid(across * self.edge, -across * self.edge)
        rays = forward + x[..., None] * right + y[..., None] * up
        rays = rays.reshape(-1, 3)
        self.rays = np.ascontiguousarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))
        self._backdrop = self._paint_backdrop(look.backdrop)
        count = size * size
        self._hit = np.zeros(count, dtype=np.int32)
        self._distance = np.zeros(count)
        self._normal = np.zeros((count, 3))

    def _paint_backdrop(self, backdrop: Backdrop) -> np.ndarray:
        slope = self.rays[:, 2]
        share = np.clip((slope + 0.55) / 0.6, 0, 1)[:, None]
        wall = (1 - share) * np.array(backdrop.low) + share * np.array(backdrop.high)
        image = np.where(slope[:, None] < -0.55, np.array(backdrop.floor), wall).astype(np.float32)
        return image * np.array(self.light.tint, dtype=np.float32)

    def _cast(self, state, origin, rays, hit, distance, normal) -> None:
        mujoco.mj_multiRay(
            self.model, state, origin, rays.reshape(-1), None, 1, -1, hit, distance,
            None if normal is None else normal.reshape(-1), len(rays), mujoco.mjMAXVAL,
        )  # fmt: skip

    def covered(self, state: mujoco.MjData, geoms: Sequence[int]) -> Bool[np.ndarray, "size size"]:
        """Which pixels see one of ``geoms`` (numbers in the model)."""
        self._cast(state, self.origin, self.rays, self._hit, self._distance, self._normal)
        return np.isin(self._hit, np.asarray(geoms)).reshape(self.size, self.size)

    def render(self, state: mujoco.MjData, effects: Effects = PLAIN) -> UInt8[np.ndarray, "size size 3"]:
        """Picture of the state, 8 bits per channel, row 0 at the top.

        ``state`` must have its kinematics computed (as after a step of the simulation).
        """
        hit, distance, normal = self._hit, self._distance, self._normal
        self._cast(state, self.origin, self.rays, hit, distance, normal)
        seen = np.flatnonzero(hit >= 0)
        points = self.origin + distance[seen, None] * self.rays[seen]
        geoms, facets = hit[seen], normal[seen]
        light = self.lamp - points
        length = np.sqrt(np.einsum("ij,ij->i", light, light))
        light /= length[:, None]
        cosine = np.einsum("ij,ij->i", light, facets)

        # Only what faces the lamp can be in the shadow of something else.
        facing = np.flatnonzero(cosine > 0)
        blocker = np.full(len(facing), -1, dtype=np.int32)
        reach = np.zeros(len(facing))
        self._cast(state, self.lamp, np.ascontiguousarray(-light[facing]), blocker, reach, None)
        shaded = reach < length[facing] - 2e-3
        cosine = np.maximum(cosine, 0)
        cosine[facing[shaded]] *= self.light.shaded

        colours = self.model.geom_rgba[:, :3].astype(np.float32)[geoms]
        for geom, ink in effects.ink.items():
            self._stain(colours, np.flatnonzero(geoms == geom), geom, ink, points, facets, state)
        shade = (self.light.ambient + self.light.diffuse * cosine).astype(np.float32)[:, None]
        if self.light.tint != (1.0, 1.0, 1.0):
            shade = shade * np.array(self.light.tint, dtype=np.float32)
        for position, power in effects.arcs:
            shade = shade + self._arc_light(points, facets, position, power)
        shown = colours * shade
        for geom, sent in effects.glow.items():
            shown[geoms == geom] += np.array(sent, dtype=np.float32)

        image = self._backdrop.copy()
        image[seen] = shown
        for position, power in effects.arcs:
            self._halo(image.reshape(self.size, self.size, 3), state, position, power)
        return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(self.size, self.size, 3)

    def _stain(self, colours, rows, geom, ink, points, facets, state) -> None:
        """Mix the ink into the colours of the pixels in ``rows`` that see the geom's upper face."""
        turn = state.geom_xmat[geom].reshape(3, 3)
        rows = rows[facets[rows] @ turn[:, 2] > 0.99]
        if len(rows) == 0:
            return
        cover = ink.at((points[rows] - state.geom_xpos[geom]) @ turn[:, :2])[:, None]
        colours[rows] = (1 - cover) * colours[rows] + cover * np.array(ink.colour, dtype=np.float32)

    @staticmethod
    def _arc_light(points, facets, position, power) -> np.ndarray:
        """Light of a point source: Lambert's cosine over the squared distance. It casts no shadow."""
        away = (position - points).astype(np.float32)
        square = np.einsum("ij,ij->i", away, away) + np.float32(1e-4)
        cosine = np.maximum(np.einsum("ij,ij->i", away, facets.astype(np.float32)), 0) / np.sqrt(square)
        return (np.float32(power * ARC_REACH) * cosine / square)[:, None] * ARC_COLOUR

    def _halo(self, image, state, position, power) -> None:
        """What a bright point does to a lens: a white core and a soft halo."""
        across, upward, depth = self.axes @ (position - self.origin)
        if depth <= 0 or power <= 0:
            return
        distance = np.linalg.norm(position - self.origin)
        hit = np.zeros(1, dtype=np.int32)
        ray = (position - self.origin) / distance
        blocked = -1 < mujoco.mj_ray(self.model, state, self.origin, ray, None, 1, -1, hit) < distance - 0.02
        scale = self.size / (2 * self.edge * depth)  # pixels per metre at the arc
        centre = self.size / 2 + scale * np.array([across, -upward])
        pixels = np.arange(self.size) + 0.5
        for width, strength in HALO:
            spread = max(width * scale, 0.5)
            bell = [np.exp(-0.5 * ((pixels - c) / spread) ** 2).astype(np.float32) for c in centre]
            brightness = np.float32(power * strength * (BEHIND if blocked else 1.0))
            image += (brightness * np.outer(bell[1], bell[0]))[..., None] * ARC_COLOUR
