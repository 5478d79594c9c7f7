"""Pick-and-place episodes: plan, simulate, sense, film.

Each episode draws where the object stands and where it must go, moves the arm there through real dynamics
(torque-limited servos, contacts, friction) and records a sensor vector and, where wanted, a picture eight
times a second. The object is carried by **friction between the finger pads**, not by a constraint switched on
at the grasp: the pads press with about 20 N each, friction 1.6, elliptic cones, so the grip holds with a wide
margin and a badly placed grasp would fail in the simulation as it would on a table. An episode that does not
put the object within `TOLERANCE` of its target is drawn again.

The stand-in for the simulated UR5 data of paper A, § 5.1; theirs is not used.
"""

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float, Int, UInt8

from mmfusion.data import scene
from mmfusion.data.kinematics import ArmKinematics, along, downward
from mmfusion.data.raycast import Camera, View

FEATURES = (
    *(f"{joint}_angle" for joint in scene.JOINTS),
    *(f"{joint}_speed" for joint in scene.JOINTS),
    "gripper_x", "gripper_y", "gripper_z",
    "gripper_qw", "gripper_qx", "gripper_qy", "gripper_qz",
    "gripper_opening",
)  # fmt: skip

# What happens in an episode, and how long it takes on average (s); 7.5 s in all.
PHASES = {
    "wait": 0.4, "ready": 1.2, "approach": 1.2, "descend": 0.6, "grasp": 0.4,
    "lift": 0.5, "carry": 1.2, "lower": 0.6, "release": 0.4, "retreat": 1.0,
}  # fmt: skip
DURATION = 7.5
PERIOD = 0.125  # between two samples of sensors and camera (s)
SAMPLES = round(DURATION / PERIOD) + 1
WINDOW, STRIDE = 20, 1  # w_l and w_s of paper A, § 5.1
TICK = 5  # simulation steps between two commands to the servos

HOVER, RELEASE_GAP = 0.13, 0.002  # clearance above the object while moving; height it is let go from (m)
CRUISE = 0.14  # lowest height of the pinch point on the way (m)
TOLERANCE = 0.015  # between the object's resting place and its target (m)
MIN_TRAVEL = 0.16


@dataclass(frozen=True)
class Episode:
    """One simulated episode, sampled every `PERIOD` seconds.

    ``time`` (s); ``sensor`` in the order of `FEATURES` (rad, rad/s, m, unit quaternion, m); ``phase`` indexes
    `PHASES`; ``object`` is the centre of the object (m); ``start`` and ``target`` are table positions (m);
    ``frames`` are the pictures of the samples from ``first_frame`` on.
    """

    time: Float[np.ndarray, "samples"]
    sensor: Float[np.ndarray, "samples features"]
    phase: Int[np.ndarray, "samples"]
    object: Float[np.ndarray, "samples 3"]
    start: Float[np.ndarray, "2"]
    target: Float[np.ndarray, "2"]
    frames: UInt8[np.ndarray, "pictures size size 3"] | None
    first_frame: int

    @property
    def miss(self) -> float:
        """Distance between the object's final place and its target (m)."""
        return float(np.linalg.norm(self.object[-1, :2] - self.target))


def window_count(samples: int, length: int = WINDOW, stride: int = STRIDE) -> int:
    """Number of windows of ``length`` in ``samples`` time steps: floor((n − w_l)/w_s) + 1, or 0 if n < w_l.

    The window of a picture *includes* the picture's own time step.
    """
    if length < 1 or stride < 1:
        raise ValueError(f"window length and stride must be at least 1, got {length} and {stride}")
    return 0 if samples < length else (samples - length) // stride + 1


def windows(
    sensor: Float[np.ndarray, "samples features"], length: int = WINDOW, stride: int = STRIDE
) -> Float[np.ndarray, "windows length features"]:
    """Overlapping histories of a sensor stream (paper A, § 5.1); window k ends at sample k·stride + length − 1."""
    count = window_count(len(sensor), length, stride)
    if count == 0:
        raise ValueError(f"a window of {length} samples does not fit into {len(sensor)} samples")
    view = np.lib.stride_tricks.sliding_window_view(sensor, length, axis=0)[::stride]
    return np.ascontiguousarray(view.swapaxes(1, 2))


class Cell:
    """The robot cell, ready to run episodes. Building it compiles the model once."""

    def __init__(self):
        self.model = mujoco.MjModel.from_xml_string(scene.mjcf())
        self.state = mujoco.MjData(self.model)
        self.arm = ArmKinematics(self.model, "pinch", scene.JOINTS)
        self.fingers = np.array([self.model.joint(f"finger_{s}").qposadr[0] for s in ("left", "right")])
        self.object = self.model.joint("object").qposadr[0]
        self._lead = np.array(scene.DAMPING) / np.array(scene.STIFFNESS)
        _, self._upright = self.arm.forward(scene.HOME)

    def camera(self, size: int, view: View | None = None) -> Camera:
        """A camera for this cell, ``size`` x ``size`` pixels."""
        return Camera(self.model, size, view)

    def run(self, seed: int, index: int, camera: Camera | None = None, first_frame: int = 0) -> Episode:
        """Episode ``index`` of the stream ``seed``; the same pair gives the same episode.

        Pictures are taken from sample ``first_frame`` on, or not at all without a camera.
        """
        rng = np.random.default_rng([seed, index])
        for _ in range(50):
            plan = self._plan(rng)
            if plan is None:
                continue
            episode = self._simulate(plan, camera, first_frame)
            turned = self.state.qpos[self.object + 3 : self.object + 7]
            upright = 1 - 2 * (turned[1] ** 2 + turned[2] ** 2) > 0.99
            if episode.miss < TOLERANCE and upright:
                return episode
        raise RuntimeError(f"no episode could be completed for seed {seed}, episode {index}")

    def _place(self, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """A spot in the work area and a yaw within 45 degrees of its bearing (the object has four equal sides)."""
        low, high = scene.REACH
        radius = np.sqrt(rng.uniform(low**2, high**2))
        bearing = rng.uniform(*scene.BEARING)
        spot = radius * np.array([np.cos(bearing), np.sin(bearing)])
        return spot, bearing + rng.uniform(-np.pi / 4, np.pi / 4)

    def _plan(self, rng: np.random.Generator) -> dict | None:
        """Draw a task and solve its joint-space path; None where a pose is out of reach or too fast."""
        (start, yaw), (target, new_yaw) = self._place(rng), self._place(rng)
        rest = scene.HOME + rng.uniform(-0.3, 0.3, size=6)
        ready = scene.HOME + rng.uniform(-0.2, 0.2, size=6)
        stretch = rng.uniform(0.85, 1.15, size=len(PHASES))
        if np.linalg.norm(target - start) < MIN_TRAVEL:
            return None
        held = scene.OBJECT_HALF[2]
        down = self._descent(start, yaw, held, ready)
        if down is None:
            return None
        lower = self._descent(target, new_yaw, held + RELEASE_GAP, down[0])
        if lower is None:
            return None
        home = [lower[-1], lower[2], lower[0], lower[0] + 0.4 * (rest - lower[0])]
        still = {"grasp": down[-1], "release": lower[-1]}
        knots = {
            "wait": [rest, rest], "ready": [rest, ready], "approach": [ready, down[0]], "descend": down,
            "grasp": [still["grasp"]] * 2, "lift": down[::-1], "carry": [down[0], lower[0]], "lower": lower,
            "release": [still["release"]] * 2, "retreat": home,
        }  # fmt: skip
        seconds = np.array(list(PHASES.values())) * stretch
        seconds *= DURATION / seconds.sum()
        ticks = round(DURATION / (scene.TIMESTEP * TICK))
        clock = np.arange(ticks + 1) * scene.TIMESTEP * TICK
        edges = np.concatenate([[0.0], np.cumsum(seconds)])
        phase = np.clip(np.searchsorted(edges, clock, side="right") - 1, 0, len(PHASES) - 1)
        angles, speeds = np.zeros((ticks + 1, 6)), np.zeros((ticks + 1, 6))
        share = (clock - edges[phase]) / seconds[phase]
        for number, name in enumerate(PHASES):
            now = phase == number
            angles[now], slope = along(np.array(knots[name]), share[now])
            speeds[now] = slope / seconds[number]
        if np.abs(speeds).max() > 0.95 * scene.SPEED_LIMIT or not self._clear(angles, phase):
            return None
        return dict(start=start, yaw=yaw, target=target, angles=angles, speeds=speeds, phase=phase,
                    gap=self._gap(phase, share))  # fmt: skip

    def _clear(self, angles: np.ndarray, phase: np.ndarray) -> bool:
        """Whether the pinch point stays high enough to pass over the object while it travels."""
        names = list(PHASES)
        for name in ("wait", "ready", "approach", "carry"):
            path = angles[phase == names.index(name)]
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

    @staticmethod
    def _gap(phase: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Commanded distance of each finger pad from the middle (m): closed a little further than the object."""
        names = list(PHASES)
        wide, tight = scene.OPENING_MAX / 2, scene.OBJECT_HALF[0] - 0.013
        closing = np.clip(share / 0.7, 0, 1)
        shut = np.where(phase == names.index("grasp"), closing, 0.0)
        shut[(phase > names.index("grasp")) & (phase < names.index("release"))] = 1.0
        opening = phase == names.index("release")
        shut[opening] = 1 - closing[opening]
        return wide + (tight - wide) * shut

    def _simulate(self, plan: dict, camera: Camera | None, first_frame: int) -> Episode:
        model, state = self.model, self.state
        mujoco.mj_resetData(model, state)
        state.qpos[self.arm.address] = plan["angles"][0]
        state.qpos[self.fingers] = scene.OPENING_MAX / 2
        o, yaw = self.object, plan["yaw"]
        state.qpos[o : o + 3] = *plan["start"], scene.OBJECT_HALF[2]
        state.qpos[o + 3 : o + 7] = np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)
        state.mocap_pos[0] = *plan["target"], 0.002
        commands = plan["angles"] + self._lead * plan["speeds"]
        every = round(PERIOD / (scene.TIMESTEP * TICK))
        sensor = np.zeros((SAMPLES, len(FEATURES)))
        places = np.zeros((SAMPLES, 3))
        frames = []
        for tick in range(len(commands)):
            if tick % every == 0:
                sample = tick // every
                mujoco.mj_kinematics(model, state)
                sensor[sample] = self._sense()
                places[sample] = state.qpos[o : o + 3]
                if camera is not None and sample >= first_frame:
                    frames.append(camera.render(state))
            state.ctrl[:6] = commands[tick]
            state.ctrl[6:] = plan["gap"][tick]
            if tick < len(commands) - 1:
                mujoco.mj_step(model, state, TICK)
        return Episode(
            time=np.arange(SAMPLES) * PERIOD, sensor=sensor, phase=plan["phase"][::every], object=places,
            start=plan["start"], target=plan["target"], frames=np.stack(frames) if frames else None,
            first_frame=first_frame,
        )  # fmt: skip

    def _sense(self) -> np.ndarray:
        """The sensor vector at the current state, in the order of `FEATURES`."""
        state, arm = self.state, self.arm
        attitude = np.zeros(4)
        mujoco.mju_mat2Quat(attitude, state.site_xmat[arm.site])
        # q and -q are one attitude; keep the sign that continues the home pose, so that no sample jumps.
        if attitude @ self._upright < 0:
            attitude = -attitude
        opening = state.qpos[self.fingers].sum()
        return np.concatenate(
            [state.qpos[arm.address], state.qvel[arm.columns], state.site_xpos[arm.site], attitude, [opening]]
        )


def generate(
    frames: int, size: int, seed: int, advance: Callable[[int], object] | None = None
) -> dict[str, np.ndarray]:
    """Simulate whole episodes until ``frames`` windows are there; the last episode is cut to fit.

    An episode of 61 samples gives 42 windows, so 500 frames take 12 episodes. A smaller request with the same
    seed is a prefix of a larger one. ``advance(n)`` is called whenever n more frames are done.

    Returns ``camera`` uint8 (N, size, size, 3), ``sensor`` float32 (N, 20, 20), ``episode`` int32 (N,).
    """
    cell = Cell()
    camera = cell.camera(size)
    arrays = {
        "camera": np.empty((frames, size, size, 3), dtype=np.uint8),
        "sensor": np.empty((frames, WINDOW, len(FEATURES)), dtype=np.float32),
        "episode": np.empty(frames, dtype=np.int32),
    }
    each = window_count(SAMPLES)
    for index, begin in enumerate(range(0, frames, each)):
        rows = slice(begin, min(begin + each, frames))
        count = rows.stop - rows.start
        episode = cell.run(seed, index, camera, first_frame=WINDOW - 1)
        arrays["camera"][rows] = episode.frames[:count]
        arrays["sensor"][rows] = windows(episode.sensor)[:count]
        arrays["episode"][rows] = index
        if advance is not None:
            advance(count)
    return arrays
