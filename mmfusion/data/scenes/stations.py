"""Two welding stations: one arm close to the camera, and two arms that share a workpiece.

The stand-ins for the two welding stations of paper A, § 5.1 (made with ABB RobotStudio; theirs are not used):
in the first the robot is large in the picture and moves little, in the second two robots are smaller.
"""

import numpy as np

from mmfusion.data.arms import irb1600
from mmfusion.data.look import Backdrop, Light, Look, View
from mmfusion.data.robot import block, tube
from mmfusion.data.scene import pose_channels
from mmfusion.data.scenes.weld import Seam, plate
from mmfusion.data.scenes.welding import Welding

BENCH = 0.34  # height of the bench (m)
PLATE, WEB = 0.012, 0.008  # thickness of the base plate and of the upright one (m)
CORNER = WEB / 2 + 0.0015  # from the upright plate's middle to the seam's line (m)
LIFT = 0.0015  # of the seam's line above the base plate (m)

FLOOR, CURTAIN, POST = (0.47, 0.49, 0.51), (0.46, 0.20, 0.16), (0.85, 0.70, 0.10)
BENCH_TOP, BENCH_LEG, CLAMP = (0.44, 0.47, 0.51), (0.22, 0.23, 0.26), (0.75, 0.14, 0.10)
HALL = Backdrop(low=(0.42, 0.45, 0.48), high=(0.66, 0.69, 0.72), floor=(0.33, 0.34, 0.36))


def channels(prefix: str, arm) -> tuple[str, ...]:
    """What one arm of a station senses."""
    return (*arm.channels(prefix), *pose_channels(f"{prefix}torch"), f"{prefix}arc_current")


def bench(centre: tuple, half: tuple) -> str:
    """A steel bench with its top at `BENCH`."""
    (x, y), (a, b) = centre, half
    legs = "".join(
        block((x + i * (a - 0.04), y + j * (b - 0.04), BENCH / 2 - 0.02), (0.03, 0.03, BENCH / 2 - 0.02), BENCH_LEG)
        for i in (-1, 1)
        for j in (-1, 1)
    )
    return block((x, y, BENCH - 0.02), (a, b, 0.02), BENCH_TOP) + legs


def curtain(start: tuple, end: tuple) -> str:
    """A welding curtain between two posts (x, y)."""
    (x0, y0), (x1, y1) = start, end
    middle, run = ((x0 + x1) / 2, (y0 + y1) / 2), np.hypot(x1 - x0, y1 - y0) / 2
    half = (run, 0.01, 0.62) if abs(x1 - x0) > abs(y1 - y0) else (0.01, run, 0.62)
    posts = "".join(tube((x, y, 0), (x, y, 1.55), 0.025, POST, kind="cylinder") for x, y in (start, end))
    return block((*middle, 0.82), half, CURTAIN) + posts


class WeldingSingle(Welding):
    """One arm; three seams about an upright plate and its rib, of which an episode welds two."""

    arm = irb1600()
    mounted = (("", arm, "tip"),)
    feet = ((0.0, 0.0),)
    rest = (0.0, -2.0, 0.6, 0.0, 1.0, 0.0)
    channels = {"sensor": channels("", arm)}
    middle, scatter, swing = (0.72, 0.0, BENCH + PLATE), 0.025, 0.12
    seams = {
        "web_near": Seam((-0.145, -CORNER, LIFT), (-0.030, -CORNER, LIFT), (0.0, -1.0, 0.0), (1.0, 0.0, -0.4)),
        "web_far": Seam((0.030, -CORNER, LIFT), (0.145, -CORNER, LIFT), (0.0, -1.0, 0.0), (1.0, 0.0, -0.4)),
        "rib": Seam((-CORNER, -0.030, LIFT), (-CORNER, -0.125, LIFT), (-1.0, 0.0, 0.0), (0.3, 0.0, -1.0)),
    }
    film = Look(
        View(position=(1.40, -1.08, 1.06), target=(0.40, 0.0, 0.53), opening=37),
        Light(lamp=(1.3, -1.5, 2.4), ambient=0.45, diffuse=0.60),
        HALL,
    )

    def world(self) -> str:
        """A floor, a bench, and curtains behind the robot."""
        return (
            block((0.3, 0.0, -0.02), (1.6, 1.5, 0.02), FLOOR)
            + bench((0.76, 0.0), (0.27, 0.33))
            + curtain((-0.75, 0.85), (1.35, 0.85))
            + curtain((-0.75, -1.0), (-0.75, 0.85))
        )

    def piece(self) -> str:
        """A base plate, an upright plate and a rib towards the camera, held by two clamps."""
        return (
            plate((0.0, -0.02, -PLATE / 2), (0.18, 0.14, PLATE / 2))
            + plate((0.0, 0.0, 0.045), (0.16, WEB / 2, 0.045), (0.62, 0.64, 0.67))
            + plate((0.0, -0.07, 0.03), (WEB / 2, 0.066, 0.03), (0.62, 0.64, 0.67))
            + "".join(block((x, 0.10, 0.012), (0.016, 0.03, 0.012), CLAMP) for x in (-0.12, 0.12))
        )

    def rounds(self, rng: np.random.Generator) -> list[list[str]]:
        """Two different seams in any order."""
        return [[str(name) for name in rng.permutation(list(self.seams))[:2]]]


class WeldingDual(Welding):
    """Two arms on the two sides of one upright plate.

    Each welds both halves of its side; one begins with the half that the other ends with, so that the torches
    never work face to face, and the plate is heated evenly.
    """

    arm, other = irb1600(), irb1600(turn=np.pi)
    mounted = (("left_", arm, "left_tip"), ("right_", other, "right_tip"))
    feet = ((-0.74, 0.0), (0.74, 0.0))
    rest = (0.0, -2.2, 0.6, 0.0, 1.2, 0.0)
    channels = {"sensor": (*channels("left_", arm), *channels("right_", other))}
    middle, scatter, swing = (0.0, 0.0, BENCH + PLATE), 0.025, 0.10
    seams = {
        f"{side}_{half}": Seam(
            (sign * CORNER, start, LIFT), (sign * CORNER, end, LIFT), (sign, 0.0, 0.0), (-0.2 * sign, 0.0, -1.0)
        )
        for side, sign in (("left", -1.0), ("right", 1.0))
        for half, start, end in (("front", -0.19, -0.06), ("back", 0.06, 0.19))
    }
    film = Look(
        View(position=(0.35, -2.75, 1.62), target=(0.0, 0.0, 0.50), opening=44),
        Light(lamp=(0.9, -1.9, 2.8), ambient=0.45, diffuse=0.60),
        HALL,
    )

    def world(self) -> str:
        """A floor, a bench between the arms, and curtains behind."""
        return (
            block((0.0, 0.0, -0.02), (1.7, 1.5, 0.02), FLOOR)
            + bench((0.0, 0.0), (0.24, 0.36))
            + curtain((-1.45, 0.95), (0.0, 0.95))
            + curtain((0.0, 0.95), (1.45, 0.95))
        )

    def piece(self) -> str:
        """A base plate and an upright plate, held by four clamps."""
        return (
            plate((0.0, 0.0, -PLATE / 2), (0.15, 0.24, PLATE / 2))
            + plate((0.0, 0.0, 0.05), (WEB / 2, 0.21, 0.05), (0.62, 0.64, 0.67))
            + "".join(block((x, y, 0.012), (0.03, 0.016, 0.012), CLAMP) for x in (-0.12, 0.12) for y in (-0.20, 0.20))
        )

    def rounds(self, rng: np.random.Generator) -> list[list[str]]:
        """The halves in opposite orders; chance says which arm begins in front."""
        order = ["front", "back"] if rng.random() < 0.5 else ["back", "front"]
        return [[f"left_{half}" for half in order], [f"right_{half}" for half in order[::-1]]]
