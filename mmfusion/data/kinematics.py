"""Inverse kinematics and smooth motions of the arm.

Poses are solved by damped least squares on MuJoCo's own site Jacobian (Wampler 1986; Nakamura and Hanafusa
1986); motions follow minimum-jerk timing (Flash and Hogan 1985), which starts and ends at rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.interpolate import CubicSpline


def downward(position: Sequence[float | int], yaw: float | int) -> tuple[np.ndarray, np.ndarray]:
    """Pose of a gripper that points straight down at ``position`` (m), turned by ``yaw`` (rad) about the vertical.

    Returns the position and the unit quaternion (w, x, y, z).
    """
    return np.asarray(position, dtype=float), np.array([0.0, np.cos(yaw / 2), np.sin(yaw / 2), 0.0])


def pointing(axis: Sequence | np.ndarray, side: Sequence | np.ndarray) -> np.ndarray:
    """Unit quaternion (w, x, y, z) of a tool whose z axis is ``axis`` and whose x axis leans towards ``side``."""
    z = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    x = np.asarray(side, dtype=float) - np.dot(side, z) * z
    size = np.linalg.norm(x)
    if size < 1e-9:
        raise ValueError(f"side must not be parallel to axis, got {side} and {axis}")
    x /= size
    attitude = np.zeros(4)
    mujoco.mju_mat2Quat(attitude, np.stack([x, np.cross(z, x), z], axis=1).ravel())
    return attitude


class ArmKinematics:
    """Solves for the joint angles that bring a tool's site to a pose.

    Works on its own scratch state, so a running simulation is never disturbed.
    """

    def __init__(self, model: mujoco.MjModel, site: str, joints: Sequence[str]):
        self.model = model
        self.state = mujoco.MjData(model)
        self.site = model.site(site).id
        self.address = np.array([model.joint(name).qposadr[0] for name in joints])
        self.columns = np.array([model.joint(name).dofadr[0] for name in joints])
        self.limits = np.array([model.joint(name).range for name in joints])
        self._jacobian = np.zeros((6, model.nv))
        self._turn = np.zeros(4)
        self._attitude = np.zeros(4)

    def forward(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (m) and quaternion (w, x, y, z) of the site at the given joint angles (rad)."""
        self.state.qpos[self.address] = angles
        mujoco.mj_kinematics(self.model, self.state)
        mujoco.mju_mat2Quat(self._attitude, self.state.site_xmat[self.site])
        return self.state.site_xpos[self.site].copy(), self._attitude.copy()

    def error(self, position: np.ndarray, attitude: np.ndarray) -> np.ndarray:
        """What is missing to the wanted pose at the current scratch state: three metres, three radians."""
        missing = np.empty(6)
        missing[:3] = position - self.state.site_xpos[self.site]
        mujoco.mju_mat2Quat(self._attitude, self.state.site_xmat[self.site])
        mujoco.mju_negQuat(self._turn, self._attitude)
        mujoco.mju_mulQuat(self._turn, attitude, self._turn.copy())
        mujoco.mju_quat2Vel(missing[3:], self._turn, 1.0)
        return missing

    def solve(
        self,
        position: np.ndarray,
        attitude: np.ndarray,
        start: np.ndarray,
        damping: float = 0.02,
        steps: int = 60,
        tolerance: float = 1e-5,
    ) -> np.ndarray | None:
        """Joint angles that reach the pose from ``start``, or None where it is out of reach.

        Each step solves (J Jᵀ + damping² I) y = error and moves by Jᵀ y, at most 0.4 rad in any joint.
        ``tolerance`` bounds the Euclidean norm of the six errors (m and rad).
        """
        angles = np.array(start, dtype=float)
        ridge = damping**2 * np.eye(6)
        for _ in range(steps):
            self.forward(angles)
            missing = self.error(position, attitude)
            size = np.linalg.norm(missing)
            if size < tolerance:
                inside = (angles > self.limits[:, 0]) & (angles < self.limits[:, 1])
                return angles if inside.all() else None
            mujoco.mj_comPos(self.model, self.state)
            mujoco.mj_jacSite(self.model, self.state, self._jacobian[:3], self._jacobian[3:], self.site)
            jacobian = self._jacobian[:, self.columns]
            # Less damping near the goal keeps the last steps of Newton's speed.
            move = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + min(1.0, size) * ridge, missing)
            angles += move * min(1.0, 0.4 / max(np.abs(move).max(), 1e-12))
        return None


def minimum_jerk(phase: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the way done and its derivative at phase in [0, 1]: 10p³ − 15p⁴ + 6p⁵.

    Speed and acceleration vanish at both ends.
    """
    p = np.clip(phase, 0.0, 1.0)
    return p**3 * (10 - 15 * p + 6 * p**2), 30 * p**2 * (1 - p) ** 2


def cruise(phase: np.ndarray, ramp: float = 0.12) -> tuple[np.ndarray, np.ndarray]:
    """Share of the way done and its derivative at phase in [0, 1]: even speed between two smooth ramps.

    The speed rises as a squared sine over the first ``ramp`` of the time (0 to 1/2) and falls likewise.
    """
    p = np.clip(phase, 0.0, 1.0)
    top = 1 / (1 - ramp)  # the even speed: the area under it is 1
    edge = np.minimum(p, 1 - p)
    turn = np.pi * np.minimum(edge / ramp, 1)
    rising = top * (edge / 2 - ramp / (2 * np.pi) * np.sin(turn))
    near = np.where(edge < ramp, rising, top * (edge - ramp / 2))
    return np.where(p <= 0.5, near, 1 - near), top * (1 - np.cos(turn)) / 2


Timing = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def along(knots: np.ndarray, phase: np.ndarray, timing: Timing = minimum_jerk) -> tuple[np.ndarray, np.ndarray]:
    """Joint path through equally spaced ``knots`` (K, joints), by default with minimum-jerk timing.

    The path is the polynomial of degree K − 1 through the knots: two knots give a straight line in joint
    space, five follow a short straight line of the gripper closely. ``phase`` (T,) runs from 0 to 1.
    Returns angles (T, joints) and their derivative with respect to phase (T, joints).
    """
    knots = np.asarray(knots, dtype=float)
    share, rate = timing(np.asarray(phase, dtype=float))
    degree = len(knots) - 1
    nodes = np.linspace(0.0, 1.0, degree + 1)
    coefficients = np.linalg.solve(np.vander(nodes, increasing=True), knots)
    powers = share[:, None] ** np.arange(degree + 1)
    slopes = np.zeros_like(powers)
    slopes[:, 1:] = np.arange(1, degree + 1) * powers[:, :-1]
    return powers @ coefficients, (slopes @ coefficients) * rate[:, None]


def through(knots: np.ndarray, phase: np.ndarray, timing: Timing = minimum_jerk) -> tuple[np.ndarray, np.ndarray]:
    """As `along`, by a natural cubic spline: for many knots, where one polynomial would swing between them."""
    share, rate = timing(np.asarray(phase, dtype=float))
    spline = CubicSpline(np.linspace(0.0, 1.0, len(knots)), np.asarray(knots, dtype=float), bc_type="natural")
    return spline(share), spline(share, 1) * rate[:, None]


@dataclass(frozen=True)
class Segment:
    """A piece of a motion: joint angles to pass (knots, joints), the seconds it takes, its shape and timing.

    One knot, or two equal ones, is a rest. ``phase`` names what is being done.
    """

    phase: str
    knots: Sequence
    seconds: float
    path: Callable = along
    timing: Timing = minimum_jerk


def timeline(segments: Sequence[Segment], clock: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The segments one after another, at the times ``clock`` (s); after the last one the arm rests.

    Returns angles (T, joints), speeds (T, joints), the number of the segment (T,), and how much of the
    segment's time has gone (T,).
    """
    seconds = np.array([segment.seconds for segment in segments])
    edges = np.concatenate([[0.0], np.cumsum(seconds)])
    number = np.clip(np.searchsorted(edges, clock, side="right") - 1, 0, len(segments) - 1)
    share = (clock - edges[number]) / seconds[number]
    joints = np.shape(segments[0].knots)[1]
    angles, speeds = np.zeros((len(clock), joints)), np.zeros((len(clock), joints))
    for k, segment in enumerate(segments):
        now = number == k
        if now.any():
            angles[now], slope = segment.path(np.array(segment.knots), share[now], segment.timing)
            speeds[now] = slope / segment.seconds
    return angles, speeds, number, share
