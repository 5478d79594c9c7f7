"""A serial robot arm as a description, and its MJCF text.

An arm is a chain of revolute joints. Each joint turns about the z axis of its own frame, and its frame is
placed in the frame of the joint before it by a shift and a turn about x. Both conventions of Denavit and
Hartenberg reduce to that: `distal` (the usual one) and `proximal` (Craig's "modified" parameters).

Units: metres, radians, kilograms, seconds, newtons.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Place = tuple[float | int, float | int, float | int, float | int]  # shift x, y, z (m) and turn about x (rad)
Vector = Sequence | np.ndarray


def distal(rows: Sequence[tuple]) -> tuple[Place, ...]:
    """Joint frames from Denavit-Hartenberg rows (a, d, alpha): joint k's row leads from its frame to the next.

    Returns one place for each joint and a last one, the flange.
    """
    return ((0.0, 0.0, 0.0, 0.0), *((a, 0.0, d, alpha) for a, d, alpha in rows))


def proximal(rows: Sequence[tuple], flange: float | int) -> tuple[Place, ...]:
    """Joint frames from Craig's rows (a, d, alpha): joint k's row leads to its frame from the one before.

    The flange lies ``flange`` along the last z axis.
    """
    return (
        *((a, -np.sin(alpha) * d, np.cos(alpha) * d, alpha) for a, d, alpha in rows),
        (0.0, 0.0, flange, 0.0),
    )


def rgba(colour: Vector) -> str:
    """A colour (red, green, blue in [0, 1]) as MJCF's opaque ``rgba``."""
    return numbers((*colour, 1.0))


def numbers(values: Vector) -> str:
    """Numbers as MJCF writes them."""
    return " ".join(f"{v:g}" for v in values)


def tube(
    start: Vector,
    end: Vector,
    radius: float | int,
    colour: Vector,
    mass: float | int = 0.0,
    kind: str = "capsule",
) -> str:
    """A capsule or cylinder between two points of a link; it touches nothing."""
    return (
        f'<geom type="{kind}" class="link" fromto="{numbers((*start, *end))}" size="{radius:g}" mass="{mass:g}" '
        f'rgba="{rgba(colour)}"/>'
    )


def block(centre: Sequence, half: Sequence, colour: Vector, mass: float | int = 0.0) -> str:
    """A box with the given half sizes; it touches nothing."""
    return (
        f'<geom type="box" class="link" pos="{numbers(centre)}" size="{numbers(half)}" mass="{mass:g}" '
        f'rgba="{rgba(colour)}"/>'
    )


@dataclass(frozen=True)
class Arm:
    """A robot arm.

    ``joints`` are names from base to flange; ``frames`` their places and the flange's (see `distal`);
    ``turn`` is the base's own turn about z (rad); ``shapes`` hold the MJCF geoms of each link, in its joint's
    frame. Limits: ``low``, ``high`` (rad), ``speed`` (rad/s), ``torque`` (N m). A servo is a spring
    (``stiffness``) and a damper (``damping``) about the reference that is sent to it. ``home`` is a usual pose.
    """

    joints: tuple[str, ...]
    frames: tuple[Place, ...]
    shapes: tuple[tuple[str, ...], ...]
    low: tuple
    high: tuple
    speed: tuple
    torque: tuple
    stiffness: tuple
    damping: tuple
    home: tuple
    armature: float | int
    turn: float | int = 0.0

    def __post_init__(self):
        count = len(self.joints)
        for name in ("shapes", "low", "high", "speed", "torque", "stiffness", "damping", "home"):
            if len(getattr(self, name)) != count:
                raise ValueError(f"an arm of {count} joints needs {count} {name}, got {len(getattr(self, name))}")
        if len(self.frames) != count + 1:
            raise ValueError(f"an arm of {count} joints needs {count + 1} frames, got {len(self.frames)}")

    @property
    def lead(self) -> np.ndarray:
        """Seconds by which a servo's reference must run ahead of the wanted angle, so that damping costs no lag."""
        return np.array(self.damping) / np.array(self.stiffness)

    def names(self, prefix: str = "") -> list[str]:
        """Names of the joints in the model."""
        return [prefix + joint for joint in self.joints]

    def bodies(self, tool: str, prefix: str = "") -> str:
        """The nested bodies, innermost last; ``tool`` is MJCF text in the frame of the last joint."""
        opening = []
        for i, joint in enumerate(self.names(prefix)):
            x, y, z, alpha = self.frames[i]
            attitude = f"{np.cos(alpha / 2):.17g} {np.sin(alpha / 2):.17g} 0 0"
            if i == 0 and self.turn:
                attitude = f"{np.cos(self.turn / 2):.15f} 0 0 {np.sin(self.turn / 2):.15f}"
            opening.append(
                f'<body name="{joint}" pos="{x:g} {y:g} {z:g}" quat="{attitude}" gravcomp="1">'
                f'<joint name="{joint}" axis="0 0 1" range="{self.low[i]:.9g} {self.high[i]:.9g}" '
                f'armature="{self.armature:g}"/>' + "".join(self.shapes[i])
            )
        return "".join(opening) + tool + "</body>" * len(self.joints)

    def servos(self, prefix: str = "") -> str:
        """One position servo a joint, in the order of the joints."""
        rows = zip(self.names(prefix), self.stiffness, self.damping, self.torque, strict=True)
        return "".join(
            f'<position name="{name}" joint="{name}" kp="{kp:g}" kv="{kv:g}" forcerange="{-limit:g} {limit:g}"/>'
            for name, kp, kv, limit in rows
        )

    def channels(self, prefix: str = "") -> tuple[str, ...]:
        """Names of what the joints' encoders report: angles (rad), then speeds (rad/s)."""
        return tuple(f"{joint}_{what}" for what in ("angle", "speed") for joint in self.names(prefix))
