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

# MuJoCo's geom groups, as `mj_multiRay` takes them. Group 2 is for small marks that cast no shadow.
MOVING, STILL, MARK = 0, 1, 2
BEHIND = 0.4  # share of an arc's halo that remains where something stands before the arc
CONTACT = 2e-3  # a blocker so near to the lit point (m) is the point's own surface


def _mask(*groups: int) -> np.ndarray:
    return np.isin(np.arange(6), groups).astype(np.uint8)


EVERYTHING, MOVABLE, OPAQUE = _mask(MOVING, STILL, MARK), _mask(MOVING, MARK), _mask(MOVING, STILL)


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
    plane: np.ndarray  # where that way crosses the lamp's picture plane


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
        self.axes = _axes(np.asarray(look.view.target, dtype=float) - self.origin)
        self.edge = np.tan(np.radians(look.view.opening) / 2)
        across = (np.arange(size) + 0.5) / size * 2 - 1
        x, y = np.meshgrid(across * self.edge, -across * self.edge)
        right, up, forward = self.axes
        rays = (forward + x[..., None] * right + y[..., None] * up).reshape(-1, 3)
        self.rays = np.ascontiguousarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))
        self._backdrop = look.backdrop.paint(self.rays) * self.tint
        self.still = _group(model)
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
        self._lamp_axes = _axes(point[seen].mean(axis=0) - self.lamp if len(seen) else -self.lamp)
        plane = -light[reached] @ self._lamp_axes.T
        self._kept = _Still(key, hit, distance, normal, point, cosine, seen[reached], length[reached], plane)
        return self._kept

    def _moving_part(self, state: mujoco.MjData, kept: _Still) -> tuple:
        """Pixels whose nearest surface can move; its distance and geom, and its normal."""
        visible = np.flatnonzero(~self.still & (self.model.geom_rgba[:, 3] > 0))
        bounds = _bounds(state.geom_xpos[visible], self.model.geom_rbound[visible], self.origin, self.axes)
        maybe = np.zeros((self.size, self.size), dtype=bool)
        cells = (bounds / self.edge + 1) / 2 * self.size  # columns of left and right, rows counted from below
        cells = np.stack([np.floor(cells[:, 0] - 0.5), np.ceil(cells[:, 1] + 0.5)], axis=1)
        cells = np.clip(cells, 0, self.size).astype(int)
        for (left, bottom), (right, top) in cells:
            maybe[self.size - top : self.size - bottom, left:right] = True
        tried = np.flatnonzero(maybe)
        hit, distance, normal = self._cast(state, self.origin, self.rays[tried], MOVABLE, normals=True)
        nearer = (hit >= 0) & (distance < kept.distance[tried])
        return tried[nearer], (distance[nearer], hit[nearer]), normal[nearer]

    def _shade_still(self, state, kept: _Still, fresh, cosine) -> None:
        """Weaken the cosine where a moving part stands between the lamp and a part that cannot move."""
        movers = np.flatnonzero(~self.still & (self.model.geom_group == MOVING) & (self.model.geom_rgba[:, 3] > 0))
        if len(movers) == 0:
            return
        bounds = _bounds(state.geom_xpos[movers], self.model.geom_rbound[movers], self.lamp, self._lamp_axes)
        low, high = bounds[:, 0].min(axis=0), bounds[:, 1].max(axis=0)
        depth = kept.plane[:, 2]
        u, v = kept.plane[:, 0], kept.plane[:, 1]
        maybe = (u >= low[0] * depth) & (u <= high[0] * depth) & (v >= low[1] * depth) & (v <= high[1] * depth)
        maybe |= depth <= 0
        hidden = np.zeros(len(kept.hit), dtype=bool)
        hidden[fresh] = True
        tried = np.flatnonzero(maybe & ~hidden[kept.open])
        pixels = kept.open[tried]
        ways = (kept.plane[tried] @ self._lamp_axes).copy()
        hit, reach, _ = self._cast(state, self.lamp, ways, _mask(MOVING))
        shaded = pixels[(hit >= 0) & (reach < kept.length[tried] - CONTACT)]
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


def _axes(forward: np.ndarray) -> np.ndarray:
    """Right, up and forward of a camera that looks along ``forward`` with the horizon level."""
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(right, forward), forward])


def _group(model: mujoco.MjModel) -> np.ndarray:
    """Sort the model's geoms into groups; returns which geoms hang on no joint."""
    moves = np.zeros(model.nbody, dtype=bool)
    for body in range(1, model.nbody):  # parents come before their children
        moves[body] = moves[model.body_parentid[body]] or model.body_jntnum[body] > 0
    still = ~moves[model.geom_bodyid] & (model.geom_group != MARK)
    model.geom_group[still] = STILL
    return still


def _bounds(centres: np.ndarray, radii: np.ndarray, origin: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Where spheres appear on the picture plane at distance 1: (spheres, low and high, right and up).

    A sphere that reaches behind the eye may appear anywhere.
    """
    place = (centres - origin) @ axes.T
    depth = place[:, 2:]
    side = place[:, :2]
    away = np.hypot(side, depth)
    half = np.arcsin(np.minimum(radii[:, None] / np.maximum(away, 1e-9), 1.0))
    angle = np.arctan2(side, depth)
    low, high = angle - half, angle + half
    wide = (low <= -1.5) | (high >= 1.5) | (depth <= 0)
    return np.stack([np.where(wide, -1e3, np.tan(low)), np.where(wide, 1e3, np.tan(high))], axis=1)
