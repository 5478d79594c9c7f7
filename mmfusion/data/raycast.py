"""A camera without OpenGL: MuJoCo's own ray caster and Lambert shading in NumPy.

One ray per pixel gives the geom, the distance and the surface normal; a second bundle of rays, cast from the
lamp towards the points that the camera sees, tells which of them lie in shadow. The picture needs no display,
no driver and no random number.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class View:
    """Where the camera stands and looks (m), and its vertical opening angle (degrees)."""

    position: tuple = (1.42, -0.78, 0.86)
    target: tuple = (0.31, 0.02, 0.15)
    opening: float | int = 37


# Light: a lamp above the camera's left, and what reaches every surface from the room.
LAMP = np.array([0.75, -1.15, 2.0])
AMBIENT, DIFFUSE, SHADED = 0.42, 0.68, 0.22
# Behind the scene: a wall that is lighter towards the top, and the floor below it.
WALL_LOW, WALL_HIGH, FLOOR = (0.60, 0.68, 0.76), (0.90, 0.93, 0.96), (0.30, 0.32, 0.36)


class Camera:
    """Renders a model at ``size`` x ``size`` pixels.

    Parameters
    ----------
    model : the compiled MuJoCo model; its geoms' ``rgba`` are the surface colours.
    size : pixels per side, at least 8.
    view : where the camera stands.
    """

    def __init__(self, model: mujoco.MjModel, size: int, view: View | None = None):
        if size < 8:
            raise ValueError(f"an image needs at least 8 pixels per side, got size={size}")
        view = view or View()
        self.model, self.size = model, size
        self.origin = np.asarray(view.position, dtype=float)
        forward = np.asarray(view.target, dtype=float) - self.origin
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        up = np.cross(right, forward)
        edge = np.tan(np.radians(view.opening) / 2)
        across = (np.arange(size) + 0.5) / size * 2 - 1
        x, y = np.meshgrid(across * edge, -across * edge)
        rays = forward + x[..., None] * right + y[..., None] * up
        rays = rays.reshape(-1, 3)
        self.rays = np.ascontiguousarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))
        self.colours = np.ascontiguousarray(model.geom_rgba[:, :3].astype(np.float32))
        self._backdrop = self._paint_backdrop()
        count = size * size
        self._hit = np.zeros(count, dtype=np.int32)
        self._distance = np.zeros(count)
        self._normal = np.zeros((count, 3))

    def _paint_backdrop(self) -> np.ndarray:
        slope = self.rays[:, 2]
        share = np.clip((slope + 0.55) / 0.6, 0, 1)[:, None]
        wall = (1 - share) * np.array(WALL_LOW) + share * np.array(WALL_HIGH)
        return np.where(slope[:, None] < -0.55, np.array(FLOOR), wall).astype(np.float32)

    def _cast(self, state, origin, rays, hit, distance, normal) -> None:
        mujoco.mj_multiRay(
            self.model, state, origin, rays.reshape(-1), None, 1, -1, hit, distance,
            None if normal is None else normal.reshape(-1), len(rays), mujoco.mjMAXVAL,
        )  # fmt: skip

    def render(self, state: mujoco.MjData) -> UInt8[np.ndarray, "size size 3"]:
        """Picture of the state, 8 bits per channel, row 0 at the top.

        ``state`` must have its kinematics computed (as after a step of the simulation).
        """
        hit, distance, normal = self._hit, self._distance, self._normal
        self._cast(state, self.origin, self.rays, hit, distance, normal)
        seen = np.flatnonzero(hit >= 0)
        points = self.origin + distance[seen, None] * self.rays[seen]
        light = LAMP - points
        length = np.sqrt(np.einsum("ij,ij->i", light, light))
        light /= length[:, None]
        cosine = np.einsum("ij,ij->i", light, normal[seen])

        # Only what faces the lamp can be in the shadow of something else.
        facing = np.flatnonzero(cosine > 0)
        blocker = np.full(len(facing), -1, dtype=np.int32)
        reach = np.zeros(len(facing))
        self._cast(state, LAMP, np.ascontiguousarray(-light[facing]), blocker, reach, None)
        shaded = reach < length[facing] - 2e-3
        cosine = np.maximum(cosine, 0)
        cosine[facing[shaded]] *= SHADED

        image = self._backdrop.copy()
        image[seen] = self.colours[hit[seen]] * (AMBIENT + DIFFUSE * cosine).astype(np.float32)[:, None]
        return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(self.size, self.size, 3)
