"""Where geoms may appear on a picture plane, found without casting a ray: it saves the rays that must miss them."""

import mujoco
import numpy as np

LONG = (int(mujoco.mjtGeom.mjGEOM_CAPSULE), int(mujoco.mjtGeom.mjGEOM_CYLINDER))


def view_axes(forward: np.ndarray) -> np.ndarray:
    """Right, up and forward of a camera that looks along ``forward`` with the horizon level."""
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    if not right.any():  # straight up or down: any horizon will do
        right = np.array([1.0, 0.0, 0.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(right, forward), forward])


class Shell:
    """Spheres that enclose the geoms of a model: several along a capsule or a cylinder, one about anything else."""

    def __init__(self, model: mujoco.MjModel):
        rows = []
        for geom in range(model.ngeom):
            radius, half, _ = model.geom_size[geom]
            if model.geom_type[geom] not in LONG:
                rows.append((geom, 0.0, model.geom_rbound[geom]))
                continue
            count = int(np.clip(np.ceil(half / radius) + 1, 2, 6))
            step = half / (count - 1)
            rows += [(geom, z, np.hypot(radius, step)) for z in np.linspace(-half, half, count)]
        self.geom = np.array([row[0] for row in rows])
        self.height, self.radius = (np.array([row[k] for row in rows], dtype=float) for k in (1, 2))

    def spheres(self, state: mujoco.MjData, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centres (m) and radii about the geoms that are ``wanted`` (mask)."""
        rows = np.flatnonzero(wanted[self.geom])
        geom = self.geom[rows]
        axis = state.geom_xmat[geom][:, [2, 5, 8]]
        return state.geom_xpos[geom] + self.height[rows, None] * axis, self.radius[rows]


class Raster:
    """A raster of cells on the picture plane of an eye, to ask which cells some spheres may appear in.

    The plane lies at distance 1 before the eye; ``low`` and ``high`` are its corners. Row 0 is the lowest.
    """

    CELLS = 96
    extra = False

    def __init__(self, eye: np.ndarray, axes: np.ndarray, low: np.ndarray, high: np.ndarray, cells: int):
        self.eye, self.axes, self.low, self.cells = eye, axes, low, cells
        self.scale = cells / (high - low)

    @classmethod
    def about(cls, eye: np.ndarray, ways: np.ndarray) -> tuple["Raster", np.ndarray]:
        """A raster that holds all ``ways`` from the eye, and the number of each one's cell.

        Ways that do not lead forward lie in an extra cell at the end, which anything may appear in.
        """
        axes = view_axes(ways.mean(axis=0) if len(ways) else np.array([1.0, 0.0, -1.0]))
        place = ways @ axes.T
        forward = place[:, 2] > 0.05
        plane = place[forward, :2] / place[forward, 2:]
        low, high = (plane.min(axis=0) - 1e-6, plane.max(axis=0) + 1e-6) if len(plane) else (-np.ones(2), np.ones(2))
        raster = cls(eye, axes, low, high, cls.CELLS)
        cell = np.full(len(ways), cls.CELLS**2)
        column, row = np.minimum((plane - low) * raster.scale, cls.CELLS - 1).astype(int).T
        cell[forward] = row * cls.CELLS + column
        raster.extra = True
        return raster, cell

    def reached(self, centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
        """Which cells the spheres may appear in, (rows, columns), or flat with the extra cell."""
        flat = np.zeros(self.cells**2 + self.extra, dtype=bool)
        flat[self.cells**2 :] = True
        grid = flat[: self.cells**2].reshape(self.cells, self.cells)
        bounds = _bounds(centres, radii, self.eye, self.axes)
        corners = (bounds - self.low) * self.scale
        corners = np.stack([np.floor(corners[:, 0] - 0.5), np.ceil(corners[:, 1] + 0.5)], axis=1)
        for (left, bottom), (right, top) in np.clip(corners, 0, self.cells).astype(int).tolist():
            grid[bottom:top, left:right] = True
        return flat if self.extra else grid


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
