"""Pick and place: a UR5-like arm lifts a box, carries it across a table and puts it down on a mark.

The box is carried by **friction between the finger pads**, not by a constraint switched on at the grasp: the
pads press with about 20 N each, friction 1.6, elliptic cones, so the grip holds with a wide margin and a badly
placed grasp would fail in the simulation as it would on a table.

The stand-in for the simulated UR5 data of paper A, § 5.1; theirs is not used. The table top is the plane z = 0,
the arm's first axis is the z axis, and the work area lies at positive x.
"""

import numpy as np

from mmfusion.data.arms import ur5
from mmfusion.data.kinematics import Segment, downward, timeline
from mmfusion.data.robot import numbers, rgba
from mmfusion.data.scene import Episode, Plan, Scene, pose_channels

ARM = ur5()

OPENING_MAX = 0.085  # between the finger pads
GRIP_STIFFNESS = 1500.0
PINCH_DEPTH = 0.145  # from the flange to the point between the finger pads

OBJECT_HALF = (0.029, 0.029, 0.045)
OBJECT_MASS = 0.15

# The part of the table that objects are put on: a sector about the arm's first axis.
REACH = (0.36, 0.60)
BEARING = (-0.95, 0.95)

TABLE_CENTRE, TABLE_HALF = (0.33, 0.0), (0.53, 0.66)

# What happens in an episode, and how long it takes on average (s); 7.5 s in all.
PHASES = {
    "wait": 0.4, "ready": 1.2, "approach": 1.2, "descend": 0.6, "grasp": 0.4,
    "lift": 0.5, "carry": 1.2, "lower": 0.6, "release": 0.4, "retreat": 1.0,
}  # fmt: skip

HOVER, RELEASE_GAP = 0.13, 0.002  # clearance above the object while moving; height it is let go from (m)
CRUISE = 0.14  # lowest height of the pinch point on the way (m)
TOLERANCE = 0.015  # between the object's resting place and its target (m)
MIN_TRAVEL = 0.16

GRIPPER, OBJECT = (0.13, 0.13, 0.16), (0.98, 0.42, 0.08)
TARGET, TABLE, BASE = (0.16, 0.62, 0.42), (0.80, 0.69, 0.55), (0.42, 0.44, 0.48)


def _gripper() -> str:
    flange = ARM.frames[-1][2]
    finger = (
        '<body name="finger_{side}" pos="0 0 {z:g}"><joint name="finger_{side}" type="slide" axis="{sign} 0 0" '
        'range="0 {half:g}" damping="20" armature="0.02"/>'
        '<geom class="pad" type="box" pos="{x:g} 0 0" size="0.008 0.014 0.037" mass="0.05" rgba="{p}"/></body>'
    )
    half, p = OPENING_MAX / 2, rgba(GRIPPER)
    fingers = "".join(
        finger.format(side=side, sign=sign, z=flange + PINCH_DEPTH, half=half, x=sign * 0.008, p=p)
        for side, sign in (("left", 1), ("right", -1))
    )
    return (
        f'<geom class="link" type="box" pos="0 0 {flange + 0.052:g}" size="0.058 0.03 0.052" mass="0.5" rgba="{p}"/>'
        f'<site name="pinch" pos="0 0 {flange + PINCH_DEPTH:g}"/>{fingers}'
    )


def miss(episode: Episode) -> float:
    """Distance between the object's final place and its target (m)."""
    return float(np.linalg.norm(episode.truth["object"][-1, :2] - episode.facts["target"]))


class PickAndPlace(Scene):
    """The robot cell. Facts of an episode: ``start`` and ``target`` on the table (m), ``yaw`` of the object (rad)."""

    phases = tuple(PHASES)
    duration, period = 7.5, 0.125
    timestep, tick = 0.0025, 5
    mounted = (("", ARM, "pinch"),)
    channels = {"sensor": (*ARM.channels(), *pose_channels("gripper"), "gripper_opening")}

    def __init__(self):
        super().__init__()
        self.arm = self.arms[0]
        self.fingers = np.array([self.model.joint(f"finger_{s}").qposadr[0] for s in ("left", "right")])
        self.object = self.model.joint("object").qposadr[0]

    def mjcf(self) -> str:
        """Only what must touch collides: finger pads, object and table.

        The arm's own links are left out of collision; its way keeps clear of the table by construction, and
        leaving them out halves the cost.
        """
        grip = "".join(
            f'<position name="finger_{side}" joint="finger_{side}" kp="{GRIP_STIFFNESS:g}" kv="30" '
            'forcerange="-40 40"/>'
            for side in ("left", "right")
        )
        return f"""
<mujoco model="pick-and-place">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{self.timestep}" integrator="implicitfast" cone="elliptic" impratio="20"/>
  <default>
    <default class="link"><geom contype="0" conaffinity="0"/></default>
    <default class="pad">
      <geom contype="1" conaffinity="1" condim="4" friction="1.6 0.02 0.0001" solref="0.01 1"/>
    </default>
  </default>
  <worldbody>
    <geom name="table" type="box" pos="{TABLE_CENTRE[0]} {TABLE_CENTRE[1]} -0.025"
          size="{TABLE_HALF[0]} {TABLE_HALF[1]} 0.025" contype="1" conaffinity="1" condim="4"
          friction="0.9 0.01 0.0001" rgba="{rgba(TABLE)}"/>
    <geom class="link" type="cylinder" pos="0 0 0.02" size="0.085 0.02" rgba="{rgba(BASE)}"/>
    <body name="target" mocap="true">
      <geom class="link" type="cylinder" size="0.062 0.002" rgba="{rgba(TARGET)}"/>
    </body>
    {ARM.bodies(_gripper())}
    <body name="object" pos="0.5 0 {OBJECT_HALF[2]}">
      <freejoint name="object"/>
      <geom name="object" class="pad" type="box" size="{numbers(OBJECT_HALF)}" mass="{OBJECT_MASS}"
            rgba="{rgba(OBJECT)}"/>
    </body>
  </worldbody>
  <actuator>{ARM.servos()}{grip}</actuator>
</mujoco>
"""

    def _place(self, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """A spot in the work area and a yaw within 45 degrees of its bearing (the object has four equal sides)."""
        low, high = REACH
        radius = np.sqrt(rng.uniform(low**2, high**2))
        bearing = rng.uniform(*BEARING)
        spot = radius * np.array([np.cos(bearing), np.sin(bearing)])
        return spot, bearing + rng.uniform(-np.pi / 4, np.pi / 4)

    def plan(self, rng: np.random.Generator) -> Plan | None:
        """Draw the two places and the pose to begin in."""
        (start, yaw), (target, new_yaw) = self._place(rng), self._place(rng)
        home = np.array(ARM.home)
        rest = home + rng.uniform(-0.3, 0.3, size=6)
        ready = home + rng.uniform(-0.2, 0.2, size=6)
        stretch = rng.uniform(0.85, 1.15, size=len(PHASES))
        if np.linalg.norm(target - start) < MIN_TRAVEL:
            return None
        held = OBJECT_HALF[2]
        down = self._descent(start, yaw, held, ready)
        if down is None:
            return None
        lower = self._descent(target, new_yaw, held + RELEASE_GAP, down[0])
        if lower is None:
            return None
        back = [lower[-1], lower[2], lower[0], lower[0] + 0.4 * (rest - lower[0])]
        knots = {
            "wait": [rest, rest], "ready": [rest, ready], "approach": [ready, down[0]], "descend": down,
            "grasp": [down[-1]] * 2, "lift": down[::-1], "carry": [down[0], lower[0]], "lower": lower,
            "release": [lower[-1]] * 2, "retreat": back,
        }  # fmt: skip
        seconds = np.array(list(PHASES.values())) * stretch
        seconds *= self.duration / seconds.sum()
        segments = [Segment(name, knots[name], s) for name, s in zip(PHASES, seconds, strict=True)]
        angles, speeds, phase, share = timeline(segments, self.clock)
        if np.abs(speeds).max() > 0.95 * min(ARM.speed) or not self._clear(angles, phase):
            return None
        gap = self._gap(phase, share)
        commands = np.concatenate([angles + ARM.lead * speeds, np.stack([gap, gap], axis=1)], axis=1)
        return Plan(angles[0], commands, phase, {"start": start, "target": target, "yaw": yaw})

    def _clear(self, angles: np.ndarray, phase: np.ndarray) -> bool:
        """Whether the pinch point stays high enough to pass over the object while it travels."""
        for name in ("wait", "ready", "approach", "carry"):
            path = angles[phase == self.phases.index(name)]
            if any(self.arm.forward(pose)[0][2] < CRUISE for pose in path[:: len(path) // 6]):
                return False
        return True

    def _descent(self, spot: np.ndarray, yaw: float, height: float, guess: np.ndarray) -> list | None:
        """Joint angles at five heights straight above ``spot``, from hovering down to ``height``."""
        knots = []
        for z in np.linspace(height + HOVER, height, 5):
            guess = self.arm.solve(*downward((*spot, z), yaw), start=guess)
            if guess is None:
                return None
            knots.append(guess)
        return knots

    def _gap(self, phase: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Commanded distance of each finger pad from the middle (m): closed a little further than the object."""
        wide, tight = OPENING_MAX / 2, OBJECT_HALF[0] - 0.013
        grasp, release = self.phases.index("grasp"), self.phases.index("release")
        closing = np.clip(share / 0.7, 0, 1)
        shut = np.where(phase == grasp, closing, 0.0)
        shut[(phase > grasp) & (phase < release)] = 1.0
        opening = phase == release
        shut[opening] = 1 - closing[opening]
        return wide + (tight - wide) * shut

    def begin(self, plan: Plan) -> None:
        """Open the fingers; object and mark at their places."""
        state, o, yaw = self.state, self.object, plan.facts["yaw"]
        state.qpos[self.fingers] = OPENING_MAX / 2
        state.qpos[o : o + 3] = *plan.facts["start"], OBJECT_HALF[2]
        state.qpos[o + 3 : o + 7] = np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)
        state.mocap_pos[0] = *plan.facts["target"], 0.002

    def sense(self, plan: Plan, tick: int) -> dict[str, np.ndarray]:
        """Joints, the gripper's pose and how far its fingers stand apart (m)."""
        opening = self.state.qpos[self.fingers].sum()
        return {"sensor": np.concatenate([self.encoders(), self.tool_pose(), [opening]])}

    def truth(self, plan: Plan, tick: int) -> dict[str, np.ndarray]:
        """``object``: position (m) and attitude (unit quaternion) of the object, seven numbers."""
        return {"object": self.state.qpos[self.object : self.object + 7].copy()}

    def succeeded(self, episode: Episode) -> bool:
        """The object stands upright within `TOLERANCE` of its target."""
        turned = episode.truth["object"][-1, 3:]
        return bool(miss(episode) < TOLERANCE and 1 - 2 * (turned[1] ** 2 + turned[2] ** 2) > 0.99)
