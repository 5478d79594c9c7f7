"""Digit writing: a seven-jointed arm writes a digit with a marker on a board, watched by a camera and by WiFi.

The stand-in for RoboMNIST (paper A, § 5.1; theirs is not used): there, too, Franka Emika arms write the digits 0
to 9 and camera, joints and channel state information are recorded; there they write in the air. Ink flows only
where the marker really touches the board. Light, camera, backdrop, board and the place of the arm change with
every episode. Each of the arm's links scatters the radio waves.
"""

import numpy as np

from mmfusion.data import csi
from mmfusion.data.arms import panda
from mmfusion.data.ink import Ink
from mmfusion.data.kinematics import Segment, cruise, pointing, through, timeline
from mmfusion.data.look import Backdrop, Effects, Light, Look, View
from mmfusion.data.robot import numbers, rgba, tube
from mmfusion.data.scene import Episode, Plan, Scene, pose_channels
from mmfusion.data.scenes.strokes import trace, vary

ARM = panda()
FLANGE = ARM.frames[-1][2]
MARKER = 0.125  # from the flange to the marker's tip (m)
TIP_RADIUS = 0.004

BOARD_HALF = (0.15, 0.15, 0.006)
BOARD = (0.50, 0.0, 0.13)  # middle of its upper face, on average (m)
STROKE_WIDTH = 0.014
CELLS = 120
TOUCH = 0.0003  # the marker writes within this distance of the board (m)
PRESS, LIFTED = 0.0012, 0.03  # how far beyond the board's face the tip is sent, and how far before it between strokes

INKS = ((0.10, 0.12, 0.45), (0.10, 0.10, 0.12), (0.62, 0.08, 0.10), (0.05, 0.36, 0.20))
TABLES = ((0.72, 0.60, 0.46), (0.55, 0.57, 0.60), (0.40, 0.31, 0.25), (0.78, 0.77, 0.74))
WALLS = ((0.62, 0.70, 0.78), (0.78, 0.72, 0.62), (0.62, 0.72, 0.64), (0.45, 0.48, 0.55), (0.80, 0.80, 0.82))

HEIGHT, SLANT, TURN, STRETCH = (0.13, 0.18), (-0.05, 0.30), (-0.15, 0.15), (0.85, 1.15)
WRITING = (3.4, 5.2)  # seconds that the strokes may take
PACE = (0.06, 0.10)  # speed of the marker (m/s), where the seconds allow it

LINK = csi.Link()
BINS = csi.ACTIVE[::4]  # every fourth subcarrier in use
FREQUENCY = csi.frequencies(BINS)
# Radar cross-sections (m²) of the seven links and the hand, about their size as seen from the side.
CROSS_SECTION = np.array([0.03, 0.05, 0.05, 0.04, 0.05, 0.03, 0.02])


class DigitWriting(Scene):
    """Facts of an episode: ``digit``; ``strokes`` (m, on the board, x to the right and y up for the camera);
    ``board`` and ``mount`` (place (m) and attitude (quaternion)), ``ink`` and ``table`` (colours), ``noise``."""

    phases = ("wait", "approach", "write", "hop", "retreat")
    duration, period = 9.0, 0.15
    timestep, tick = 0.0025, 4
    # Every episode has its own light, board and backdrop: fewer pictures of each, more episodes.
    stride = 3
    mounted = (("", ARM, "tip"),)
    channels = {
        "sensor": (*ARM.channels(), *pose_channels("marker")),
        "signal": tuple(f"subcarrier_{k - csi.SUBCARRIERS // 2:+d}" for k in BINS),
    }

    def __init__(self):
        super().__init__()
        self.arm = self.arms[0]
        self.mount, self.sheet = self.model.body("mount").id, self.model.geom("board").id
        self.table = self.model.geom("table").id
        self.links = np.array([self.model.body(joint).id for joint in ARM.joints])
        self._facing = self._frame(self.arm.forward(np.array(ARM.home))[1])[:, 0]
        self.ink = Ink(BOARD_HALF[0], CELLS, STROKE_WIDTH, INKS[0])

    def mjcf(self) -> str:
        """Only the marker's tip and the board touch each other.

        Both have bodies of their own: MuJoCo's bundles of rays skip a whole body by the bounds of its colliding
        geoms, and would miss others in the same body.
        """
        dark, grip = (0.15, 0.16, 0.18), (0.85, 0.85, 0.87)
        touching = 'contype="1" conaffinity="1" friction="0.2 0.005 0.0001" solref="0.02 1"'
        end = FLANGE + MARKER
        marker = (
            tube((0, 0, FLANGE), (0, 0, FLANGE + 0.035), 0.034, dark, 0.2, "cylinder")
            + tube((0, 0, FLANGE + 0.03), (0, 0, end - 0.025), 0.012, grip, 0.05)
            + tube((0, 0, end - 0.025), (0, 0, end - 0.006), 0.006, dark, 0.01)
            + f'<body pos="0 0 {end - TIP_RADIUS:g}"><geom type="sphere" size="{TIP_RADIUS:g}" mass="0.005" '
            f'{touching} margin="{TOUCH}" gap="{TOUCH}" rgba="{rgba(dark)}"/></body>'
            f'<site name="tip" pos="0 0 {end:g}"/>'
        )
        half = numbers(BOARD_HALF)
        rim = (BOARD_HALF[0] + 0.012, BOARD_HALF[1] + 0.012, BOARD_HALF[2] - 0.001)
        return f"""
<mujoco model="digit-writing">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{self.timestep}" integrator="implicitfast"/>
  <default><default class="link"><geom contype="0" conaffinity="0"/></default></default>
  <worldbody>
    <geom name="table" type="box" class="link" pos="0.30 0 -0.02" size="0.62 0.62 0.02" rgba="{rgba(TABLES[0])}"/>
    <body name="board" mocap="true" pos="{numbers(BOARD)}">
      <geom name="board" type="box" pos="0 0 {-BOARD_HALF[2]}" size="{half}" {touching}
            rgba="{rgba((0.95, 0.95, 0.93))}"/>
      <body>
        <geom type="box" class="link" pos="0 0 {-BOARD_HALF[2] - 0.002}" size="{numbers(rim)}" rgba="{rgba(dark)}"/>
        <geom type="box" class="link" pos="-0.05 0 -0.06" size="0.03 0.10 0.05" rgba="{rgba((0.45, 0.46, 0.48))}"/>
      </body>
    </body>
    <body name="mount">
      <geom type="cylinder" class="link" pos="0 0 0.015" size="0.11 0.015" rgba="{rgba((0.35, 0.36, 0.39))}"/>
      <geom type="cylinder" class="link" pos="0 0 0.08" size="0.075 0.07" rgba="{rgba((0.90, 0.90, 0.89))}"/>
      {ARM.bodies(marker)}
    </body>
  </worldbody>
  <actuator>{ARM.servos()}</actuator>
</mujoco>
"""

    @staticmethod
    def _frame(attitude: np.ndarray) -> np.ndarray:
        """Rotation matrix of a unit quaternion (w, x, y, z)."""
        w, x, y, z = attitude
        return np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ])  # fmt: skip

    def plan(self, rng: np.random.Generator) -> Plan | None:
        """Draw the digit and its shape, where board and arm stand, and how it all looks."""
        digit = int(rng.integers(10))
        strokes = vary(trace(digit, 0.06), *(rng.uniform(*span) for span in (HEIGHT, SLANT, TURN, STRETCH)))
        shift = rng.uniform(-0.02, 0.02, size=2)
        strokes = [np.stack([-y, x], axis=1) for x, y in ((stroke + shift).T for stroke in strokes)]
        if max(np.abs(stroke).max() for stroke in strokes) > BOARD_HALF[0] - STROKE_WIDTH:
            return None
        place = np.array(BOARD) + rng.uniform((-0.03, -0.06, -0.02), (0.03, 0.06, 0.02))
        tilt, yaw = rng.uniform(0.12, 0.40), rng.uniform(-0.15, 0.15)
        sheet = np.array([
            np.cos(yaw / 2) * np.cos(tilt / 2), -np.sin(yaw / 2) * np.sin(tilt / 2),
            np.cos(yaw / 2) * np.sin(tilt / 2), np.sin(yaw / 2) * np.cos(tilt / 2),
        ])  # fmt: skip
        foot, twist = np.append(rng.uniform(-0.04, 0.04, size=2), 0.0), rng.uniform(-0.2, 0.2)
        rest = np.array(ARM.home) + rng.uniform(-0.12, 0.12, size=7)
        pace, look = rng.uniform(*PACE), self._look(rng, place)
        facts = {
            "digit": digit, "strokes": strokes, "board": (place, sheet),
            "mount": (foot, np.array([np.cos(twist / 2), 0.0, 0.0, np.sin(twist / 2)])),
            "ink": INKS[rng.integers(len(INKS))], "table": TABLES[rng.integers(len(TABLES))],
            "noise": int(rng.integers(2**32)),
        }  # fmt: skip
        self._stand(facts)
        segments = self._segments(strokes, place, self._frame(sheet), rest, pace)
        if segments is None:
            return None
        angles, speeds, number, _ = timeline(segments, self.clock)
        if (np.abs(speeds) > 0.9 * np.array(ARM.speed)).any():
            return None
        phase = np.array([self.phases.index(segment.phase) for segment in segments])[number]
        return Plan(angles[0], angles + ARM.lead * speeds, phase, facts, look)

    @staticmethod
    def _look(rng: np.random.Generator, place: np.ndarray) -> Look:
        """A camera somewhere before the board, and some light in some room."""
        bearing, rise, distance = rng.uniform(-0.75, 0.35), rng.uniform(0.50, 0.70), rng.uniform(1.15, 1.30)
        target = np.array([0.36, 0.3 * place[1], 0.23]) + rng.uniform(-0.02, 0.02, size=3)
        away = [np.cos(bearing) * np.cos(rise), np.sin(bearing) * np.cos(rise), np.sin(rise)]
        wall = np.array(WALLS[rng.integers(len(WALLS))]) + rng.uniform(-0.05, 0.05, size=3)
        lamp = (rng.uniform(0.4, 1.4), rng.uniform(-1.4, 1.4), rng.uniform(1.6, 2.4))
        warmth = rng.uniform(-0.08, 0.08)
        return Look(
            View(tuple(target + distance * np.array(away)), tuple(target), 42),
            Light(lamp, rng.uniform(0.32, 0.48), rng.uniform(0.45, 0.68), tint=(1 + warmth, 1.0, 1 - warmth)),
            Backdrop(tuple(0.85 * wall), tuple(np.minimum(1.2 * wall, 1.0)), tuple(0.55 * wall)),
        )

    def _segments(self, strokes, place, turn, rest, pace) -> list[Segment] | None:
        """The motion, piece by piece; None where a pose is out of reach."""
        attitude = pointing(-turn[:, 2], self._facing)
        guess, here = rest, rest
        segments = [Segment("wait", [rest, rest], 0.2)]
        lengths = [np.linalg.norm(np.diff(stroke, axis=0), axis=1).sum() for stroke in strokes]
        slower = np.clip(sum(lengths) / pace, *WRITING) / sum(lengths)
        for number, (stroke, length) in enumerate(zip(strokes, lengths, strict=True)):
            touching = [(x, y, -PRESS) for x, y in stroke]
            angles = []
            for point in [(*stroke[0], LIFTED), *touching, (*stroke[-1], LIFTED)]:
                guess = self.arm.solve(place + turn @ point, attitude, start=guess)
                if guess is None:
                    return None
                angles.append(guess)
            way = Segment("approach", [here, angles[0]], 1.2) if number == 0 else Segment("hop", [here, angles[0]], 0.4)
            segments += [
                way,
                Segment("approach" if number == 0 else "hop", angles[:2], 0.3),
                Segment("write", angles[1:-1], float(length * slower), through, cruise),
                Segment("hop" if number < len(strokes) - 1 else "retreat", angles[-2:], 0.3),
            ]
            here = angles[-1]
        left = self.duration - sum(segment.seconds for segment in segments)
        back = here + 0.6 * (rest - here)
        return [*segments, Segment("retreat", [here, back], min(left, 1.2)), Segment("wait", [back, back], 9.0)]

    def _stand(self, facts) -> None:
        """Put the arm on its place; the motion planner needs it there, too."""
        place, attitude = facts["mount"]
        self.model.body_pos[self.mount], self.model.body_quat[self.mount] = place, attitude

    def begin(self, plan: Plan) -> None:
        """Arm and board at their places, the board blank."""
        self._stand(plan.facts)
        self.state.mocap_pos[0], self.state.mocap_quat[0] = plan.facts["board"]
        self.model.geom_rgba[self.table, :3] = plan.facts["table"]
        self.ink = Ink(BOARD_HALF[0], CELLS, STROKE_WIDTH, plan.facts["ink"])

    def passed(self, plan: Plan, tick: int) -> None:
        """Ink under the marker while it touches the board."""
        if self.state.ncon:
            x, y, _ = self._tip()
            self.ink.press(x, y)

    def _tip(self) -> np.ndarray:
        """The marker's tip in the board's frame (m); z is the height above the face."""
        place, attitude = self.state.mocap_pos[0], self.state.mocap_quat[0]
        return self._frame(attitude).T @ (self.state.site_xpos[self.arm.site] - place)

    def sense(self, plan: Plan, tick: int) -> dict[str, np.ndarray]:
        """Joints and the marker's pose (z along the marker). The signal comes with the whole episode."""
        return {"sensor": np.concatenate([self.encoders(), self.tool_pose()])}

    def truth(self, plan: Plan, tick: int) -> dict[str, np.ndarray]:
        """``tip``: the marker's tip on the board (m); ``touching``; ``inked``: share of the board; ``links``:
        middles of the seven links (m)."""
        return {
            "tip": self._tip(), "touching": np.array(self.state.ncon > 0), "inked": self.ink.cover.mean(),
            "links": self.state.xipos[self.links].copy(),
        }  # fmt: skip

    def complete(self, plan: Plan, streams: dict, truth: dict) -> dict[str, np.ndarray]:
        """Adds ``signal``: amplitude of the channel state (dB over 1 mW) at every fourth active subcarrier."""
        rng = np.random.default_rng(plan.facts["noise"])
        state = LINK.measure(FREQUENCY, truth["links"], CROSS_SECTION, self.period, rng)
        return {**streams, "signal": csi.decibels(state)}

    def effects(self, plan: Plan, tick: int) -> Effects:
        """What has been written so far."""
        return Effects(ink={self.sheet: self.ink})

    def succeeded(self, episode: Episode) -> bool:
        """Nearly every point of the digit was inked."""
        wanted = np.concatenate(episode.facts["strokes"])
        return bool((self.ink.at(wanted) > 0.5).mean() > 0.97)
