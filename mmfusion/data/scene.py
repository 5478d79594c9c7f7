"""The robot cell: a UR5-like arm with a two-finger gripper at a table, written as one MuJoCo model.

Geometry of the arm. Denavit-Hartenberg lengths of the UR5 and its joint, speed and torque limits as
Universal Robots publishes them ("DH parameters for calculations of kinematics and dynamics" and the UR5
technical specification). Each body turns about the z axis of the frame before it, and ends in the next
frame: translate by ``d`` along z and by ``a`` along x, then turn by ``alpha`` about x. The shapes are
capsules and boxes, not the maker's meshes, and the link masses are rounded: the arm is UR5-*like*.

Units: metres, radians, kilograms, seconds, newtons. The table top is the plane z = 0, the arm's first
axis is the z axis, and the work area lies at positive x.
"""

from dataclasses import dataclass

import numpy as np

VERSION = 1  # raise it whenever the same seed would give other episodes or other pictures

# One row per joint: a, d, alpha of the Denavit-Hartenberg convention.
DH = (
    (0.0, 0.089159, np.pi / 2),
    (-0.425, 0.0, 0.0),
    (-0.39225, 0.0, 0.0),
    (0.0, 0.10915, np.pi / 2),
    (0.0, 0.09465, -np.pi / 2),
    (0.0, 0.0823, 0.0),
)
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3")
JOINT_LIMIT = 2 * np.pi  # every joint of a UR5 turns by at most 360 degrees either way
SPEED_LIMIT = np.pi  # 180 degrees per second
TORQUE_LIMIT = (150.0, 150.0, 150.0, 28.0, 28.0, 28.0)
LINK_MASS = (3.7, 8.4, 2.3, 1.2, 1.2, 0.25)

# The usual elbow-up pose, gripper pointing down.
HOME = np.array([-0.27, -1.75, 1.95, -1.77, -np.pi / 2, -np.pi / 2 - 0.27])

# A servo is a spring and a damper about the reference that is sent to it.
STIFFNESS = (3000.0, 3000.0, 2000.0, 600.0, 600.0, 300.0)
DAMPING = (300.0, 300.0, 200.0, 40.0, 40.0, 20.0)

OPENING_MAX = 0.085  # between the finger pads
GRIP_STIFFNESS = 1500.0
PINCH_DEPTH = 0.145  # from the flange to the point between the finger pads

OBJECT_HALF = (0.029, 0.029, 0.045)
OBJECT_MASS = 0.15
TIMESTEP = 0.0025

# The part of the table that objects are put on: a sector about the arm's first axis.
REACH = (0.36, 0.60)
BEARING = (-0.95, 0.95)

TABLE_CENTRE, TABLE_HALF = (0.33, 0.0), (0.53, 0.66)


@dataclass(frozen=True)
class Paint:
    """Colour of a part of the scene: red, green, blue in [0, 1]."""

    arm_dark: tuple = (0.20, 0.36, 0.58)
    arm_light: tuple = (0.80, 0.83, 0.87)
    joint: tuple = (0.34, 0.55, 0.78)
    gripper: tuple = (0.13, 0.13, 0.16)
    object: tuple = (0.98, 0.42, 0.08)
    target: tuple = (0.16, 0.62, 0.42)
    table: tuple = (0.80, 0.69, 0.55)
    base: tuple = (0.42, 0.44, 0.48)


PAINT = Paint()


def _rgba(colour: tuple) -> str:
    return " ".join(f"{c:g}" for c in (*colour, 1.0))


def _tube(start: tuple, end: tuple, radius: float, colour: tuple, mass: float = 0.0, kind: str = "capsule") -> str:
    ends = " ".join(f"{c:g}" for c in (*start, *end))
    return (
        f'<geom type="{kind}" class="link" fromto="{ends}" size="{radius:g}" mass="{mass:g}" rgba="{_rgba(colour)}"/>'
    )


def _link_geoms() -> list[list[str]]:
    """Shapes of the six links, each in the frame of its own body."""
    upper, fore = DH[1][0], DH[2][0]
    offset, inner = 0.13585, 0.0165  # the tubes run beside the axes, as on the real arm
    p = PAINT
    return [
        [
            _tube((0, 0, -0.02), (0, 0, DH[0][1]), 0.062, p.joint, LINK_MASS[0], "cylinder"),
            _tube((0, 0, DH[0][1]), (0, -0.07, DH[0][1]), 0.060, p.joint),
        ],
        [
            _tube((0, 0, 0.06), (0, 0, offset), 0.060, p.joint),
            _tube((0, 0, offset), (upper, 0, offset), 0.050, p.arm_light, LINK_MASS[1]),
            _tube((upper, 0, offset), (upper, 0, inner + 0.02), 0.053, p.joint),
        ],
        [
            _tube((0, 0, inner), (fore, 0, inner), 0.042, p.arm_dark, LINK_MASS[2]),
            _tube((fore, 0, inner), (fore, 0, 0.05), 0.044, p.joint),
        ],
        [_tube((0, 0, 0.05), (0, 0, DH[3][1]), 0.042, p.arm_light, LINK_MASS[3])],
        [_tube((0, 0, 0), (0, 0, DH[4][1]), 0.041, p.joint, LINK_MASS[4])],
        [_tube((0, 0, 0.02), (0, 0, DH[5][1]), 0.037, p.arm_light, LINK_MASS[5], "cylinder")],
    ]


def _gripper() -> str:
    flange = DH[5][1]
    p = _rgba(PAINT.gripper)
    finger = (
        '<body name="finger_{side}" pos="0 0 {z:g}"><joint name="finger_{side}" type="slide" axis="{sign} 0 0" '
        'range="0 {half:g}" damping="20" armature="0.02"/>'
        '<geom class="pad" type="box" pos="{x:g} 0 0" size="0.008 0.014 0.037" mass="0.05" rgba="{p}"/></body>'
    )
    half = OPENING_MAX / 2
    fingers = "".join(
        finger.format(side=side, sign=sign, z=flange + PINCH_DEPTH, half=half, x=sign * 0.008, p=p)
        for side, sign in (("left", 1), ("right", -1))
    )
    return (
        f'<geom class="link" type="box" pos="0 0 {flange + 0.052:g}" size="0.058 0.03 0.052" mass="0.5" rgba="{p}"/>'
        f'<site name="pinch" pos="0 0 {flange + PINCH_DEPTH:g}"/>{fingers}'
    )


def _arm() -> str:
    """The nested bodies of the arm, innermost last."""
    opening, closing = [], []
    shapes = _link_geoms()
    a, d = 0.0, 0.0
    turn = "0 0 0 1"  # a UR5 at zero angles stretches along -x of its base frame; we want it over the table
    for i, name in enumerate(JOINTS):
        opening.append(
            f'<body name="{name}" pos="{a:g} 0 {d:g}" quat="{turn}" gravcomp="1">'
            f'<joint name="{name}" axis="0 0 1" range="{-JOINT_LIMIT:.9g} {JOINT_LIMIT:.9g}" armature="0.1"/>'
            + "".join(shapes[i])
        )
        closing.append("</body>")
        a, d, alpha = DH[i]
        turn = f"{np.cos(alpha / 2):.17g} {np.sin(alpha / 2):.17g} 0 0"
    return "".join(opening) + _gripper() + "".join(closing)


def mjcf() -> str:
    """The whole scene as MJCF text.

    Only what must touch collides: finger pads, object and table. The arm's own links are left out of
    collision; its way keeps clear of the table by construction, and leaving them out halves the cost.
    """
    servos = "".join(
        f'<position name="{name}" joint="{name}" kp="{kp:g}" kv="{kv:g}" forcerange="{-limit:g} {limit:g}"/>'
        for name, kp, kv, limit in zip(JOINTS, STIFFNESS, DAMPING, TORQUE_LIMIT, strict=True)
    ) + "".join(
        f'<position name="finger_{side}" joint="finger_{side}" kp="{GRIP_STIFFNESS:g}" kv="30" forcerange="-40 40"/>'
        for side in ("left", "right")
    )
    half = " ".join(f"{h:g}" for h in OBJECT_HALF)
    p = PAINT
    return f"""
<mujoco model="pick-and-place">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{TIMESTEP}" integrator="implicitfast" cone="elliptic" impratio="20"/>
  <default>
    <default class="link"><geom contype="0" conaffinity="0"/></default>
    <default class="pad">
      <geom contype="1" conaffinity="1" condim="4" friction="1.6 0.02 0.0001" solref="0.01 1"/>
    </default>
  </default>
  <worldbody>
    <geom name="table" type="box" pos="{TABLE_CENTRE[0]} {TABLE_CENTRE[1]} -0.025"
          size="{TABLE_HALF[0]} {TABLE_HALF[1]} 0.025" contype="1" conaffinity="1" condim="4"
          friction="0.9 0.01 0.0001" rgba="{_rgba(p.table)}"/>
    <geom class="link" type="cylinder" pos="0 0 0.02" size="0.085 0.02" rgba="{_rgba(p.base)}"/>
    <body name="target" mocap="true">
      <geom class="link" type="cylinder" size="0.062 0.002" rgba="{_rgba(p.target)}"/>
    </body>
    {_arm()}
    <body name="object" pos="0.5 0 {OBJECT_HALF[2]}">
      <freejoint name="object"/>
      <geom name="object" class="pad" type="box" size="{half}" mass="{OBJECT_MASS}"
            rgba="{_rgba(p.object)}"/>
    </body>
  </worldbody>
  <actuator>{servos}</actuator>
</mujoco>
"""
