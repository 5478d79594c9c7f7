"""Inverse kinematics and smooth motions of the arm.

Poses are solved by damped least squares on MuJoCo's own site Jacobian (Wampler 1986; Nakamura and Hanafusa
1986); motions follow minimum-jerk timing (Flash and Hogan 1985), which starts and ends at rest.
"""

from collections.abc import Sequence

import mujoco
import numpy as np


def downward(position: Sequence[float | int], yaw: float | int) -> tuple[np.ndarray, np.ndarray]:
    """Pose of a gripper that points straight down at ``position`` (m), turned by ``yaw`` (rad) about the vertical.

    Returns the position and the unit quaternion (w, x, y, z).
    """
    return np.asarray(position, dtype=float), np.array([0.0, np.cos(yaw / 2), np.sin(yaw / 2), 0.0])


class ArmKinematics:
    """Solves for the six joint angles that bring the gripper's pinch point to a pose.

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
        """Position (m) and quaternion (w, x, y, z) of the pinch point at the given joint angles (rad)."""
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
        """Joint angles (6,) that reach the pose from ``start``, or None where it is out of reach.

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


def along(knots: np.ndarray, phase: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joint path through equally spaced ``knots`` (K, 6) with minimum-jerk timing.

    The path is the polynomial of degree K − 1 through the knots: two knots give a straight line in joint
    space, five follow a short straight line of the gripper closely. ``phase`` (T,) runs from 0 to 1.
    Returns angles (T, 6) and their derivative with respect to phase (T, 6).
    """
    knots = np.asarray(knots, dtype=float)
    share, rate = minimum_jerk(np.asarray(phase, dtype=float))
    degree = len(knots) - 1
    nodes = np.linspace(0.0, 1.0, degree + 1)
    coefficients = np.linalg.solve(np.vander(nodes, increasing=True), knots)
    powers = share[:, None] ** np.arange(degree + 1)
    slopes = np.zeros_like(powers)
    slopes[:, 1:] = np.arange(1, degree + 1) * powers[:, :-1]
    return powers @ coefficients, (slopes @ coefficients) * rate[:, None]
