"""A camera without OpenGL: MuJoCo's own ray caster and Lambert shading in NumPy.

One ray per pixel gives the geom, the distance and the surface normal; a second bundle of rays, cast from the
lamp towards the points that the camera sees, tells which of them lie in shadow. The picture needs no display,
no driver and no random number.

A camera stands still, and so does most of what it sees. What cannot move is cast once and kept; in every
picture only the rays that may meet a moving part are cast anew. The pictures are those of casting all rays.

`mj_multiRay` skips a whole body by the bounds of its *colliding* geoms: a body must not hold both geoms that
collide and geoms that do not, or the latter may be missed.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Bool, UInt8

from mmfusion.data.look import PLAIN, Effects, Look, add_halo, arc_light
from mmfusion.data.raster import Raster, Shell, view_axes

# MuJoCo's geom groups, as `mj_multiRay` takes them. Group 2 is for small marks that cast no shadow.
MOVING, STILL, MARK = 0, 1, 2
BEHIND = 0.4  # share of an arc's halo that remains where something stands before the arc
CONTACT = 2e-3  # a blocker so near to the lit point (m) is the point's own surface


def _mask(*groups: int) -> np.ndarray:
    return np.isin(np.arange(6), groups).astype(np.uint8)


EVERYTHING, OPAQUE = _mask(MOVING, STILL, MARK), _mask(MOVING, STILL)


@dataclass
class _Still:
    """What the camera sees of the parts that cannot move: one row a pixel."""

    key: tuple
    hit: np.ndarray
    distance: np.ndarray
    normal: np.ndarray
    point: np.ndarray
    cosine: np.ndarray  # towards the lamp, in static shadow already weakened
    open: np.ndarray  # pixels that the lamp reaches unless a moving part is between
    length: np.ndarray  # of their way from the lamp
    way: np.ndarray  # direction of that way
    cell: np.ndarray  # of the lamp's raster that the way passes
    raster: Raster


class Camera:
    """Renders a model at ``size`` x ``size`` pixels.

    Parameters
    ----------
    model : the compiled MuJoCo model; its geoms' ``rgba`` are the surface colours, and a geom whose alpha is 0
        is not there. The camera sets the groups of the geoms (see `STILL`).
    size : pixels per side, at least 8.
    look : view, light and backdrop.
    """

    def __init__(self, model: mujoco.MjModel, size: int, look: Look | None = None):
        if size < 8:
            raise ValueError(f"an image needs at least 8 pixels per side, got size={size}")
        look = look or Look()
        self.model, self.size, self.light = model, size, look.light
        self.lamp = np.asarray(look.light.lamp, dtype=float)
        self.tint = np.array(look.light.tint, dtype=np.float32)
        self.origin = np.asarray(look.view.position, dtype=float)
        self.axes = view_axes(np.asarray(look.view.target, dtype=float) - self.origin)
        self.edge = np.tan(np.radians(look.view.opening) / 2)
        across = (np.arange(size) + 0.5) / size * 2 - 1
        x, y = np.meshgrid(across * self.edge, -across * self.edge)
        right, up, forward = self.axes
        rays = (forward + x[..., None] * right + y[..., None] * up).reshape(-1, 3)
        self.rays = np.ascontiguousarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))
        self._backdrop = look.backdrop.paint(self.rays) * self.tint
        self.still = _group(model)
        self._raster = Raster(self.origin, self.axes, np.full(2, -self.edge), np.full(2, self.edge), size)
        self._shell = Shell(model)
        self._kept: _Still | None = None

    def covered(self, state: mujoco.MjData, geoms: np.ndarray) -> Bool[np.ndarray, "size size"]:
        """Which pixels see one of ``geoms`` (numbers in the model)."""
        hit, _, _ = self._cast(state, self.origin, self.rays, EVERYTHING)
        return np.isin(hit, geoms).reshape(self.size, self.size)

    def render(self, state: mujoco.MjData, effects: Effects = PLAIN) -> UInt8[np.ndarray, "size size 3"]:
        """Picture of the state, 8 bits per channel, row 0 at the top.

        ``state`` must have its kinematics computed (as after a step of the simulation).
        """
        kept = self._still_part(state)
        hit, cosine = kept.hit.copy(), kept.cosine.copy()
        point, normal = kept.point, kept.normal
        fresh, distance, facets = self._moving_part(state, kept)
        if len(fresh):
            point, normal = point.copy(), normal.copy()
            hit[fresh] = distance[1]
            point[fresh] = self.origin + distance[0][:, None] * self.rays[fresh]
            normal[fresh] = facets
            cosine[fresh] = self._towards_lamp(state, point[fresh], facets)[0]
        self._shade_still(state, kept, fresh, cosine)

        seen = np.flatnonzero(hit >= 0)
        geoms = hit[seen]
        colours = self.model.geom_rgba[:, :3].astype(np.float32)[geoms]
        for geom, ink in effects.ink.items():
            rows = np.flatnonzero(geoms == geom)
            self._stain(colours, rows, ink, geom, point[seen[rows]], normal[seen[rows]], state)
        shade = (self.light.ambient + self.light.diffuse * cosine[seen]).astype(np.float32)[:, None]
        if self.light.tint != (1.0, 1.0, 1.0):
            shade = shade * self.tint
        if effects.arcs:
            places, slopes = point[seen].astype(np.float32), normal[seen].astype(np.float32)
            for position, power in effects.arcs:
                shade = shade + arc_light(places, slopes, position, power)
        shown = colours * shade
        if effects.glow:
            light = np.zeros((self.model.ngeom, 3), dtype=np.float32)
            light[list(effects.glow)] = list(effects.glow.values())
            shown += light[geoms]

        image = self._backdrop.copy()
        image[seen] = shown
        for position, power in effects.arcs:
            self._halo(image.reshape(self.size, self.size, 3), state, position, power)
        return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(self.size, self.size, 3)

    def _cast(self, state, origin, rays, groups, normals: bool = False) -> tuple:
        """Geom (-1: none), distance and, where wanted, surface normal for each ray."""
        hit = np.full(len(rays), -1, dtype=np.int32)
        distance = np.zeros(len(rays))
        normal = np.zeros((len(rays), 3)) if normals else None
        if len(rays):
            mujoco.mj_multiRay(
                self.model, state, origin, np.ascontiguousarray(rays).reshape(-1), groups, 1, -1, hit, distance,
                None if normal is None else normal.reshape(-1), len(rays), mujoco.mjMAXVAL,
            )  # fmt: skip
        return hit, distance, normal

    def _towards_lamp(self, state, points, normals, groups=OPAQUE) -> tuple:
        """Lambert's cosine at points, weakened in shadow; which points the lamp reaches, and the ways to them."""
        light = self.lamp - points
        length = np.sqrt(np.einsum("ij,ij->i", light, light))
        light /= length[:, None]
        cosine = np.einsum("ij,ij->i", light, normals)
        # Only what faces the lamp can be in the shadow of something else.
        facing = np.flatnonzero(cosine > 0)
        _, reach, _ = self._cast(state, self.lamp, -light[facing], groups)
        shaded = reach < length[facing] - CONTACT
        cosine = np.maximum(cosine, 0)
        cosine[facing[shaded]] *= self.light.shaded
        return cosine, facing[~shaded], length, light

    def _still_part(self, state: mujoco.MjData) -> _Still:
        """What cannot move, from memory unless it was moved from outside or changed its transparency."""
        key = (
            state.geom_xpos[self.still].tobytes(), state.geom_xmat[self.still].tobytes(),
            (self.model.geom_rgba[self.still, 3] > 0).tobytes(),
        )  # fmt: skip
        if self._kept is not None and self._kept.key == key:
            return self._kept
        hit, distance, normal = self._cast(state, self.origin, self.rays, _mask(STILL), normals=True)
        point = self.origin + distance[:, None] * self.rays
        seen = np.flatnonzero(hit >= 0)
        cosine = np.zeros(len(hit))
        cosine[seen], reached, length, light = self._towards_lamp(state, point[seen], normal[seen], _mask(STILL))
        distance[hit < 0] = np.inf
        raster, cell = Raster.about(self.lamp, -light[reached])
        self._kept = _Still(
            key, hit, distance, normal, point, cosine, seen[reached], length[reached], -light[reached], cell, raster
        )
        return self._kept

    def _moving_part(self, state: mujoco.MjData, kept: _Still) -> tuple:
        """Pixels whose nearest surface can move; its distance and geom, and its normal."""
        found = []
        groups = self.model.geom_group
        for group in (MOVING, MARK):  # apart, for marks are many and small
            visible = ~self.still & (groups == group) & (self.model.geom_rgba[:, 3] > 0)
            tried = np.flatnonzero(self._raster.reached(*self._shell.spheres(state, visible))[::-1])
            hit, distance, normal = self._cast(state, self.origin, self.rays[tried], _mask(group), normals=True)
            nearer = (hit >= 0) & (distance < kept.distance[tried])
            found.append((tried[nearer], distance[nearer], hit[nearer], normal[nearer]))
        pixel, distance, hit, normal = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((distance, pixel))
        first = order[np.diff(pixel[order], prepend=-1) > 0]
        return pixel[first], (distance[first], hit[first]), normal[first]

    def _shade_still(self, state, kept: _Still, fresh, cosine) -> None:
        """Weaken the cosine where a moving part stands between the lamp and a part that cannot move."""
        movers = ~self.still & (self.model.geom_group == MOVING) & (self.model.geom_rgba[:, 3] > 0)
        maybe = kept.raster.reached(*self._shell.spheres(state, movers)).ravel()[kept.cell]
        hidden = np.zeros(len(kept.hit), dtype=bool)
        hidden[fresh] = True
        tried = np.flatnonzero(maybe & ~hidden[kept.open])
        hit, reach, _ = self._cast(state, self.lamp, kept.way[tried], _mask(MOVING))
        shaded = kept.open[tried][(hit >= 0) & (reach < kept.length[tried] - CONTACT)]
        cosine[shaded] *= self.light.shaded

    def _stain(self, colours, rows, ink, geom, points, normals, state) -> None:
        """Mix ink into the colours of the pixels in ``rows``, which see the geom, where it is the upper face."""
        turn = state.geom_xmat[geom].reshape(3, 3)
        upper = normals @ turn[:, 2] > 0.99
        if not upper.any():
            return
        pixel = 2 * self.edge / self.size * np.linalg.norm(state.geom_xpos[geom] - self.origin)
        cover = ink.at((points[upper] - state.geom_xpos[geom]) @ turn[:, :2], float(pixel))[:, None]
        rows = rows[upper]
        colours[rows] = (1 - cover) * colours[rows] + cover * np.array(ink.colour, dtype=np.float32)

    def _halo(self, image, state, position, power) -> None:
        across, upward, depth = self.axes @ (position - self.origin)
        if depth <= 0 or power <= 0:
            return
        distance = np.linalg.norm(position - self.origin)
        _, reach, _ = self._cast(state, self.origin, (position - self.origin)[None] / distance, OPAQUE)
        dimmed = BEHIND if 0 <= reach[0] < distance - 0.02 else 1.0
        scale = self.size / (2 * self.edge * depth)
        add_halo(image, self.size / 2 + scale * np.array([across, -upward]), float(scale), float(power * dimmed))


def _group(model: mujoco.MjModel) -> np.ndarray:
    """Sort the model's geoms into groups; returns which geoms hang on no joint."""
    moves = np.zeros(model.nbody, dtype=bool)
    for body in range(1, model.nbody):  # parents come before their children
        moves[body] = moves[model.body_parentid[body]] or model.body_jntnum[body] > 0
    still = ~moves[model.geom_bodyid] & (model.geom_group != MARK)
    model.geom_group[still] = STILL
    return still
