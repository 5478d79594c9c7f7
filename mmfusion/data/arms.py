"""Three arms: one that picks and places, one that welds, one that writes.

Lengths, joint limits, speeds and (where published) torques are those of the makers' data sheets: Universal
Robots UR5 ("DH parameters for calculations of kinematics and dynamics"), ABB IRB 1600-6/1.2 (product
specification), Franka Emika Panda ("Robot and interface specifications"). The shapes are capsules and boxes,
not the makers' meshes, and masses are rounded: the arms are *like* those robots.
"""

import numpy as np

from mmfusion.data.robot import Arm, block, distal, proximal, tube

RIGHT = np.pi / 2


def ur5() -> Arm:
    """Six joints, reach 0.85 m; blue and white."""
    rows = (
        (0.0, 0.089159, RIGHT), (-0.425, 0.0, 0.0), (-0.39225, 0.0, 0.0),
        (0.0, 0.10915, RIGHT), (0.0, 0.09465, -RIGHT), (0.0, 0.0823, 0.0),
    )  # fmt: skip
    upper, fore, base, wrist = rows[1][0], rows[2][0], rows[0][1], rows[3][1]
    dark, light, joint = (0.20, 0.36, 0.58), (0.80, 0.83, 0.87), (0.34, 0.55, 0.78)
    offset, inner = 0.13585, 0.0165  # the tubes run beside the axes, as on the real arm
    shapes = (
        (
            tube((0, 0, -0.02), (0, 0, base), 0.062, joint, 3.7, "cylinder"),
            tube((0, 0, base), (0, -0.07, base), 0.060, joint),
        ),
        (
            tube((0, 0, 0.06), (0, 0, offset), 0.060, joint),
            tube((0, 0, offset), (upper, 0, offset), 0.050, light, 8.4),
            tube((upper, 0, offset), (upper, 0, inner + 0.02), 0.053, joint),
        ),
        (
            tube((0, 0, inner), (fore, 0, inner), 0.042, dark, 2.3),
            tube((fore, 0, inner), (fore, 0, 0.05), 0.044, joint),
        ),
        (tube((0, 0, 0.05), (0, 0, wrist), 0.042, light, 1.2),),
        (tube((0, 0, 0), (0, 0, rows[4][1]), 0.041, joint, 1.2),),
        (tube((0, 0, 0.02), (0, 0, rows[5][1]), 0.037, light, 0.25, "cylinder"),),
    )
    return Arm(
        joints=("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"),
        frames=distal(rows),
        shapes=shapes,
        low=(-2 * np.pi,) * 6,
        high=(2 * np.pi,) * 6,
        speed=(np.pi,) * 6,
        torque=(150.0, 150.0, 150.0, 28.0, 28.0, 28.0),
        stiffness=(3000.0, 3000.0, 2000.0, 600.0, 600.0, 300.0),
        damping=(300.0, 300.0, 200.0, 40.0, 40.0, 20.0),
        home=(-0.27, -1.75, 1.95, -1.77, -RIGHT, -RIGHT - 0.27),  # elbow up, flange pointing down
        armature=0.1,
        turn=np.pi,  # at zero angles a UR5 stretches along -x of its base frame; we want it over the table
    )


def irb1600(turn: float | int = 0.0) -> Arm:
    """Six joints with a spherical wrist, reach 1.2 m; orange, a wire feeder on the elbow. The servos are ours."""
    rows = (
        (0.150, 0.4865, -RIGHT), (0.475, 0.0, 0.0), (0.0, 0.0, -RIGHT),
        (0.0, 0.600, RIGHT), (0.0, 0.0, -RIGHT), (0.0, 0.065, 0.0),
    )  # fmt: skip
    body, dark, grey = (0.95, 0.42, 0.07), (0.16, 0.17, 0.19), (0.62, 0.64, 0.67)
    neck, shoulder, wrist = rows[0][0], rows[0][1], rows[3][1]
    shapes = (
        (
            tube((0, 0, 0.10), (0, 0, 0.34), 0.135, body, 50, "cylinder"),
            tube((0.02, 0, 0.34), (neck, 0, shoulder), 0.105, body),
            tube((neck, -0.125, shoulder), (neck, 0.125, shoulder), 0.095, dark, kind="cylinder"),
        ),
        (
            tube((0.0, 0, 0), (0.475, 0, 0), 0.078, body, 35),
            tube((0.475, 0, -0.115), (0.475, 0, 0.115), 0.082, dark, kind="cylinder"),
        ),
        (
            block((-0.02, -0.01, 0), (0.085, 0.13, 0.085), body, 30),
            block((-0.16, -0.06, 0), (0.06, 0.10, 0.055), grey, 5),
        ),
        (
            tube((0, 0, 0.09), (0, 0, 0.50), 0.062, body, 8),
            tube((0, 0, 0.47), (0, 0, wrist - 0.03), 0.066, dark, kind="cylinder"),
        ),
        (
            tube((0, 0, -0.045), (0, 0, 0.045), 0.050, body, 4),
            tube((0, 0, 0), (0, 0.045, 0), 0.042, body),
        ),
        (tube((0, 0, 0.03), (0, 0, 0.065), 0.036, grey, 1, "cylinder"),),
    )
    degrees = np.radians
    return Arm(
        joints=("axis_1", "axis_2", "axis_3", "axis_4", "axis_5", "axis_6"),
        frames=distal(rows),
        shapes=shapes,
        # Axis 2 counts from the upright upper arm, the model's angle from the level one.
        low=tuple(degrees([-180, -63 - 90, -235, -200, -115, -400])),
        high=tuple(degrees([180, 110 - 90, 55, 200, 115, 400])),
        speed=tuple(degrees([150, 160, 170, 320, 400, 460])),
        torque=(1200.0, 1200.0, 800.0, 160.0, 120.0, 60.0),
        stiffness=(6e4, 6e4, 4e4, 8e3, 6e3, 3e3),
        damping=(4e3, 4e3, 2.5e3, 4e2, 3e2, 1.5e2),
        home=(0.0, -1.75, 0.35, 0.0, 0.9, 0.0),
        armature=0.6,
        turn=turn,
    )


def panda() -> Arm:
    """Seven joints, reach 0.85 m; white. The servos are ours."""
    rows = (
        (0.0, 0.333, 0.0), (0.0, 0.0, -RIGHT), (0.0, 0.316, RIGHT), (0.0825, 0.0, RIGHT),
        (-0.0825, 0.384, -RIGHT), (0.0, 0.0, RIGHT), (0.088, 0.0, RIGHT),
    )  # fmt: skip
    white, dark = (0.90, 0.90, 0.89), (0.22, 0.23, 0.25)
    elbow, last = rows[3][0], rows[6][0]
    shapes = (
        (
            tube((0, 0, -0.23), (0, 0, -0.04), 0.060, white, 2.7),
            tube((0, -0.055, 0), (0, 0.055, 0), 0.062, dark, kind="cylinder"),
        ),
        (tube((0, 0, 0), (0, -0.19, 0), 0.058, white, 2.7),),
        (
            tube((0, 0, -0.11), (0, 0, -0.02), 0.056, white, 2.4),
            tube((0.02, 0, 0), (elbow, 0, 0), 0.052, white),
        ),
        (
            tube((0, 0, -0.055), (0, 0, 0.055), 0.055, dark, kind="cylinder"),
            tube((-0.02, 0.02, 0), (-elbow, 0.11, 0), 0.052, white, 2.4),
        ),
        (
            tube((0, 0, -0.25), (0, 0.03, -0.06), 0.047, white, 3.5),
            tube((0, 0, -0.04), (0, 0, 0), 0.048, dark),
        ),
        (tube((0.0, 0, 0), (last, 0, 0), 0.046, white, 1.5),),
        (tube((0, 0, -0.03), (0, 0, 0.107), 0.040, white, 0.7, "cylinder"),),
    )
    return Arm(
        joints=tuple(f"joint_{k}" for k in range(1, 8)),
        frames=proximal(rows, flange=0.107),
        shapes=shapes,
        low=(-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973),
        high=(2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973),
        speed=(2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61),
        torque=(87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0),
        stiffness=(3000.0, 3000.0, 2500.0, 2500.0, 600.0, 600.0, 300.0),
        damping=(250.0, 250.0, 200.0, 200.0, 30.0, 30.0, 12.0),
        home=(0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4),
        armature=0.1,
    )
