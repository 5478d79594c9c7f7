"""What a robot scene is: the one description that every scene of this project fills in.

A `Scene` says how its world is built (MJCF), what an episode is to do (`plan`), what the sensors report
(`sense`), how it looks (`look`, `effects`), and whether the task was done (`succeeded`).
`mmfusion.data.simulated` turns any scene into episodes and data sets.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np
from jaxtyping import Float, Int, UInt8

from mmfusion.data.kinematics import ArmKinematics
from mmfusion.data.look import PLAIN, Effects, Look
from mmfusion.data.raycast import Camera
from mmfusion.data.robot import Arm


@dataclass(frozen=True)
class Plan:
    """What an episode is to do, tick by tick.

    ``start`` are the joint angles of all arms at the beginning (rad); ``commands`` (ticks + 1, actuators) the
    servos' references in the order of the model's actuators; ``phase`` (ticks + 1,) indexes the scene's phases;
    ``facts`` is what this episode drew (places, digit, seams, light); ``look`` how it is filmed.
    """

    start: Float[np.ndarray, "joints"]
    commands: Float[np.ndarray, "ticks actuators"]
    phase: Int[np.ndarray, "ticks"]
    facts: Mapping
    look: Look = field(default_factory=Look)


@dataclass(frozen=True)
class Episode:
    """One simulated episode, sampled once a period.

    ``time`` (s); ``streams``: what is sensed, by modality, (samples, channels); ``phase`` indexes the scene's
    phases; ``truth``: what no sensor reports, by name, (samples, ...); ``facts``: what the episode drew; ``look``:
    how it is filmed; ``frames`` are the pictures of the samples from ``first_frame`` on.
    """

    time: Float[np.ndarray, "samples"]
    streams: Mapping[str, np.ndarray]
    phase: Int[np.ndarray, "samples"]
    truth: Mapping[str, np.ndarray]
    facts: Mapping
    look: Look
    frames: UInt8[np.ndarray, "pictures size size 3"] | None
    first_frame: int

    @property
    def sensor(self) -> np.ndarray:
        """The robot's own sensors, (samples, channels)."""
        return self.streams["sensor"]


class Scene(ABC):
    """A robot scene, ready to run episodes. Building it compiles the model once.

    Subclasses set the class attributes: ``phases`` (names of what happens), ``duration`` and ``period`` (s, of
    an episode and between two samples), ``timestep`` (s, of the physics), ``tick`` (steps between two commands
    to the servos), ``stride`` (samples from one picture to the next, w_s of paper A, § 5.1), ``mounted``
    ((prefix, arm, site) for each arm), ``channels`` (names of what is sensed, by modality) and ``geoms`` (names
    or prefixes are up to the scene).
    """

    phases: tuple[str, ...]
    duration: float
    period: float
    timestep: float
    tick: int
    stride: int = 1
    mounted: tuple[tuple[str, Arm, str], ...]
    channels: Mapping[str, tuple[str, ...]]

    def __init__(self):
        self.model = mujoco.MjModel.from_xml_string(self.mjcf())
        self.state = mujoco.MjData(self.model)
        self.arms = [ArmKinematics(self.model, site, arm.names(prefix)) for prefix, arm, site in self.mounted]
        self._upright = [
            kinematics.forward(np.array(arm.home))[1]
            for kinematics, (_, arm, _) in zip(self.arms, self.mounted, strict=True)
        ]

    @property
    def samples(self) -> int:
        """Time steps of an episode."""
        return round(self.duration / self.period) + 1

    @property
    def ticks(self) -> int:
        """Commands to the servos in an episode, less one."""
        return round(self.duration / (self.timestep * self.tick))

    @property
    def clock(self) -> np.ndarray:
        """Times of the commands (s)."""
        return np.arange(self.ticks + 1) * self.timestep * self.tick

    @abstractmethod
    def mjcf(self) -> str:
        """The world as MJCF text."""

    @abstractmethod
    def plan(self, rng: np.random.Generator) -> Plan | None:
        """Draw a task and solve its motion; None where a pose is out of reach, too fast or too close."""

    @abstractmethod
    def sense(self, plan: Plan, tick: int) -> dict[str, np.ndarray]:
        """What the sensors report at the current state, by modality."""

    def truth(self, plan: Plan, tick: int) -> dict[str, np.ndarray]:
        """What no sensor reports at the current state, by name."""
        return {}

    @abstractmethod
    def begin(self, plan: Plan) -> None:
        """Put things in their places; the arms stand already."""

    def passed(self, plan: Plan, tick: int) -> None:
        """Told at every tick, before the physics goes on: for what the tool leaves behind."""
        return None

    def effects(self, plan: Plan, tick: int) -> Effects:
        """Light and ink of the current state."""
        return PLAIN

    def complete(self, plan: Plan, streams: dict, truth: dict) -> dict[str, np.ndarray]:
        """All streams of a finished episode; for what is reckoned from a whole episode at once."""
        return streams

    def succeeded(self, episode: Episode) -> bool:
        """Whether the episode did what it was to do."""
        return True

    def camera(self, size: int, look: Look | None = None) -> Camera:
        """A camera for this scene, ``size`` x ``size`` pixels."""
        return Camera(self.model, size, look)

    def tool_pose(self, number: int = 0) -> np.ndarray:
        """Position (m) and attitude (unit quaternion) of an arm's tool, seven numbers."""
        site = self.arms[number].site
        attitude = np.zeros(4)
        mujoco.mju_mat2Quat(attitude, self.state.site_xmat[site])
        # q and -q are one attitude; keep the sign that continues the home pose, so that no sample jumps.
        if attitude @ self._upright[number] < 0:
            attitude = -attitude
        return np.concatenate([self.state.site_xpos[site], attitude])

    def encoders(self, number: int = 0) -> np.ndarray:
        """Joint angles (rad) and speeds (rad/s) of an arm."""
        arm = self.arms[number]
        return np.concatenate([self.state.qpos[arm.address], self.state.qvel[arm.columns]])

    def arm_geoms(self, number: int) -> np.ndarray:
        """Numbers of the geoms of an arm's links and tool."""
        prefix, arm, _ = self.mounted[number]
        inside = np.zeros(self.model.nbody, dtype=bool)
        inside[self.model.body(arm.names(prefix)[0]).id] = True
        for body in range(1, self.model.nbody):  # parents come before their children
            inside[body] |= inside[self.model.body_parentid[body]]
        return np.flatnonzero(inside[self.model.geom_bodyid])

    def robot_geoms(self) -> np.ndarray:
        """Numbers of the geoms of all arms."""
        return np.concatenate([self.arm_geoms(number) for number in range(len(self.mounted))])


POSE = ("x", "y", "z", "qw", "qx", "qy", "qz")


def pose_channels(tool: str) -> tuple[str, ...]:
    """Names of a tool's position (m) and attitude (unit quaternion)."""
    return tuple(f"{tool}_{part}" for part in POSE)
