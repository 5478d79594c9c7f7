"""What welding stations share: arms with torches lay fillet welds along the foot of an upright plate.

The arc burns only while the wire's end is really at the seam; it lights its surroundings, and the bead stays
and cools. The stations themselves are in `mmfusion.data.scenes.stations`.

World: the floor is the plane z = 0. Workpiece's frame: z up, origin on the base plate at the foot of the
upright plate.
"""

from abc import abstractmethod

import mujoco
import numpy as np

from mmfusion.data.kinematics import Segment, along, cruise, pointing, timeline
from mmfusion.data.look import Effects, Look
from mmfusion.data.robot import tube
from mmfusion.data.scene import Plan, Scene
from mmfusion.data.scenes.weld import ARC_LENGTH, FIRING_TIME, Bead, Seam, torch

HOVER = 0.07  # how far the wire's end is drawn back between two seams (m)
CLEARANCE = 0.05  # between two arms (m)
CURRENT, RIPPLE = (150.0, 190.0), 5.0  # set current of an episode, and standard deviation of its noise (A)

# What an arm does in an episode, and for how long on average (s); 15 s in all.
PHASES = {"wait": 0.4, "approach": 1.5, "lower": 0.5, "weld": 4.4, "lift": 0.5, "move": 1.0, "retreat": 1.3}
STEPS = ("wait", "approach", "lower", "weld", "lift", "move", "lower", "weld", "lift", "retreat")


class Welding(Scene):
    """A welding station. Facts of an episode, for each arm: its ``seams`` in order, ``current`` (A), ``push`` (rad);
    for the workpiece: ``place`` (m) and ``yaw`` (rad).

    Subclasses set ``seams`` (by name), ``feet`` (where each arm stands (m)), ``rest`` (joint angles about which
    an episode begins and ends), ``middle`` (of the workpiece),
    ``scatter`` and ``swing`` (how far the workpiece is put aside (m) and turned (rad)), ``film`` (how it looks).
    """

    phases = tuple(PHASES)
    duration, period = 15.0, 0.25
    timestep, tick = 0.005, 5
    seams: dict[str, Seam]
    feet: tuple
    rest: tuple
    middle: tuple
    scatter: float
    swing: float
    film: Look

    def __init__(self):
        super().__init__()
        self.bead = Bead(self.model, self.seams)
        self._links = [self.arm_geoms(number) for number in range(len(self.mounted))]

    @abstractmethod
    def world(self) -> str:
        """Floor, bench and walls as MJCF."""

    @abstractmethod
    def piece(self) -> str:
        """The workpiece's plates as MJCF, in its own frame."""

    @abstractmethod
    def rounds(self, rng: np.random.Generator) -> list[list[str]]:
        """For each arm, the names of the two seams that it welds, in order."""

    def mjcf(self) -> str:
        """Nothing collides here: plans keep the arms apart, and tests measure by how much."""
        bases, servos = "", ""
        for number, (prefix, arm, _) in enumerate(self.mounted):
            tool = torch(arm.frames[-1][2], prefix)
            x, y = self.feet[number]
            bases += f'<body pos="{x:g} {y:g} 0">'
            bases += tube((0, 0, 0), (0, 0, 0.035), 0.21, (0.20, 0.21, 0.23), kind="cylinder")
            bases += tube((0, 0, 0.03), (0, 0, 0.12), 0.15, (0.16, 0.17, 0.19), kind="cylinder")
            bases += arm.bodies(tool, prefix) + "</body>"
            servos += arm.servos(prefix)
        beads = "".join(seam.bead(name) for name, seam in self.seams.items())
        return f"""
<mujoco model="welding">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{self.timestep}" integrator="implicitfast"><flag contact="disable"/></option>
  <default><default class="link"><geom contype="0" conaffinity="0"/></default></default>
  <worldbody>
    {self.world()}
    <body name="work" mocap="true" pos="{self.middle[0]} {self.middle[1]} {self.middle[2]}">{self.piece()}{beads}</body>
    {bases}
  </worldbody>
  <actuator>{servos}</actuator>
</mujoco>
"""

    def plan(self, rng: np.random.Generator) -> Plan | None:
        """Draw where the workpiece lies, which seams are welded in which order and direction, and the pace."""
        place = np.array(self.middle) + np.array([*rng.uniform(-self.scatter, self.scatter, size=2), 0.0])
        yaw = rng.uniform(-self.swing, self.swing)
        rounds = self.rounds(rng)
        facts = {"place": place, "yaw": yaw, "seams": rounds, "current": [], "push": [], "ripple": [], "phases": []}
        commands, starts, segment_phases = [], [], []
        for number, names in enumerate(rounds):
            back = rng.random() < 0.5 and len(self.mounted) == 1
            runs = [self.seams[name].reversed() if back else self.seams[name] for name in names]
            push, rest = rng.uniform(-0.15, 0.15), rng.uniform(-0.12, 0.12, size=6)
            seconds = np.array([PHASES[step] for step in STEPS]) * rng.uniform(0.9, 1.1, size=len(STEPS))
            facts["current"].append(rng.uniform(*CURRENT))
            facts["push"].append(push)
            facts["ripple"].append(RIPPLE * rng.standard_normal(self.samples))
            knots = self._knots(number, runs, push, rest, place, yaw)
            if knots is None:
                return None
            seconds *= self.duration / seconds.sum()
            segments = [
                Segment(step, knots[k], seconds[k], along, *([cruise] if step == "weld" else []))
                for k, step in enumerate(STEPS)
            ]
            arm = self.mounted[number][1]
            angles, speeds, which, _ = timeline(segments, self.clock)
            if (np.abs(speeds) > 0.8 * np.array(arm.speed)).any():
                return None
            commands.append((angles, speeds * arm.lead))
            starts.append(angles[0])
            segment_phases.append(which)
        if not self._apart([angles for angles, _ in commands]):
            return None
        names = np.array([self.phases.index(step) for step in STEPS])
        facts["steps"] = np.array(segment_phases)
        return Plan(
            start=np.concatenate(starts),
            commands=np.concatenate([angles + ahead for angles, ahead in commands], axis=1),
            phase=names[segment_phases[0]], facts=facts, look=self.film,
        )  # fmt: skip

    def _knots(self, number, runs, push, rest, place, yaw) -> list | None:
        """Joint angles for each of `STEPS`; None where a pose is out of reach."""
        turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        guess = np.array(self.rest)
        home, paths = guess + rest, []
        for seam in runs:
            wire = seam.wire(push)
            attitude = pointing(turn @ wire, turn @ -np.array(seam.lean))
            points = np.linspace(seam.start, seam.end, 7)
            points = np.concatenate([[points[0] - HOVER * wire], points, [points[-1] - HOVER * wire]])
            angles = []
            for point in points:
                guess = self.arms[number].solve(place + turn @ point, attitude, start=guess)
                if guess is None:
                    return None
                angles.append(guess)
            paths.append(angles)
        one, two = paths
        return [
            [home, home], [home, one[0]], one[:2], one[1:-1], one[-2:],
            [one[-1], two[0]], two[:2], two[1:-1], two[-2:], [two[-1], two[-1] + 0.5 * (home - two[-1])],
        ]  # fmt: skip

    def _apart(self, paths: list[np.ndarray]) -> bool:
        """Whether the arms keep their distance along their paths, with a reserve for what servos do."""
        if len(paths) == 1:
            return True
        scratch = self.arms[0].state
        for tick in range(0, len(paths[0]), 10):
            for arm, angles in zip(self.arms, paths, strict=True):
                scratch.qpos[arm.address] = angles[tick]
            mujoco.mj_kinematics(self.model, scratch)
            if self.gap(scratch) < 1.5 * CLEARANCE:
                return False
        return True

    def gap(self, state: mujoco.MjData | None = None) -> float:
        """Smallest distance between two arms (m), reckoned exactly below 0.25 m; infinite for one arm."""
        state = state or self.state
        if len(self.mounted) == 1:
            return np.inf
        left, right = self._links
        rough = np.linalg.norm(state.geom_xpos[left][:, None] - state.geom_xpos[right][None], axis=2)
        rough -= self.model.geom_rbound[left][:, None] + self.model.geom_rbound[right][None]
        least = 0.25
        for a, b in np.argwhere(rough < least):
            if rough[a, b] < least:
                least = min(least, mujoco.mj_geomDistance(self.model, state, left[a], right[b], least, None))
        return float(least)

    def begin(self, plan: Plan) -> None:
        """The workpiece at its place, without a bead."""
        self.bead.clear()
        yaw = plan.facts["yaw"]
        self.state.mocap_pos[0] = plan.facts["place"]
        self.state.mocap_quat[0] = np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)
        self._struck = [None] * len(self.mounted)

    def _seam(self, plan: Plan, number: int, tick: int) -> str | None:
        """Name of the seam that an arm is to weld at a tick, if any."""
        step = plan.facts["steps"][number][tick]
        if STEPS[step] != "weld":
            return None
        return plan.facts["seams"][number][0 if step == STEPS.index("weld") else 1]

    def _tip(self, number: int) -> np.ndarray:
        """The wire's end in the workpiece's frame (m)."""
        work = self.model.body("work").id
        turn = self.state.xmat[work].reshape(3, 3)
        return turn.T @ (self.state.site_xpos[self.arms[number].site] - self.state.xpos[work])

    def passed(self, plan: Plan, tick: int) -> None:
        """Strike, keep or break the arcs, and lay beads under them."""
        now = self.clock[tick]
        for number in range(len(self.mounted)):
            seam = self._seam(plan, number, tick)
            tip = self._tip(number) if seam else None
            burning = seam is not None and self.seams[seam].away(tip) < ARC_LENGTH
            if not burning:
                self._struck[number] = None
                continue
            if self._struck[number] is None:
                self._struck[number] = now
            self.bead.deposit(seam, tip, now)

    def current(self, plan: Plan, number: int, tick: int) -> float:
        """Current of an arm's arc (A); 0 without an arc."""
        struck = self._struck[number]
        if struck is None:
            return 0.0
        rise = 1 - np.exp(-(self.clock[tick] - struck + self.timestep) / FIRING_TIME)
        sample = tick * self.timestep * self.tick / self.period
        return float(plan.facts["current"][number] * rise + plan.facts["ripple"][number][int(sample)])

    def sense(self, plan: Plan, tick: int) -> dict[str, np.ndarray]:
        """For each arm: joints, pose of the torch (z along the wire), current of its arc (A)."""
        parts = []
        for number in range(len(self.mounted)):
            parts += [self.encoders(number), self.tool_pose(number), [self.current(plan, number, tick)]]
        return {"sensor": np.concatenate(parts)}

    def truth(self, plan: Plan, tick: int) -> dict[str, np.ndarray]:
        """``arc``: which arcs burn; ``off_seam``: distance of the wire's end from the seam in work (m), infinite
        between seams; ``bead``: share of all beads that lies there; ``gap``: distance of the arms (m)."""
        count = range(len(self.mounted))
        seams = [self._seam(plan, number, tick) for number in count]
        off = [np.inf if s is None else self.seams[s].away(self._tip(n)) for n, s in zip(count, seams, strict=True)]
        return {
            "arc": np.array([struck is not None for struck in self._struck]), "off_seam": np.array(off),
            "bead": np.isfinite(self.bead.times).mean(), "gap": np.array(self.gap()),
        }  # fmt: skip

    def effects(self, plan: Plan, tick: int) -> Effects:
        """The arcs, as bright as their current, and the hot beads."""
        arcs = [
            (self.state.site_xpos[self.arms[number].site].copy(), self.current(plan, number, tick) / CURRENT[1])
            for number in range(len(self.mounted))
            if self._struck[number] is not None
        ]
        return Effects(arcs=arcs, glow=self.bead.glow(self.clock[tick]))
