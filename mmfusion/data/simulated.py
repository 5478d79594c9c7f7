"""From a scene to episodes and data sets: plan, simulate, sense, film.

Nothing is animated. A plan is a list of references for torque-limited servos; where the arm then goes is up to
the physics. An episode in which the task failed is drawn again.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np
from jaxtyping import Float

from mmfusion.data.scene import Episode, Plan, Scene

WINDOW = 20  # w_l of paper A, § 5.1; its w_s is `Scene.stride`
ATTEMPTS = 50
# Below this size the Python around the rays costs more than the rays, and threads would only wait for each other.
WORTH_SHARING = 128


def window_count(samples: int, length: int = WINDOW, stride: int = 1) -> int:
    """Number of windows of ``length`` in ``samples`` time steps: floor((n − w_l)/w_s) + 1, or 0 if n < w_l.

    The window of a picture *includes* the picture's own time step.
    """
    if length < 1 or stride < 1:
        raise ValueError(f"window length and stride must be at least 1, got {length} and {stride}")
    return 0 if samples < length else (samples - length) // stride + 1


def windows(
    stream: Float[np.ndarray, "samples channels"], length: int = WINDOW, stride: int = 1
) -> Float[np.ndarray, "windows length channels"]:
    """Overlapping histories of a stream (paper A, § 5.1); window k ends at sample k·stride + length − 1."""
    count = window_count(len(stream), length, stride)
    if count == 0:
        raise ValueError(f"a window of {length} samples does not fit into {len(stream)} samples")
    view = np.lib.stride_tricks.sliding_window_view(stream, length, axis=0)[::stride]
    return np.ascontiguousarray(view.swapaxes(1, 2))


def record(
    scene: Scene, seed: int, index: int, size: int | None = None, first_frame: int = 0, every: int = 1
) -> Episode:
    """Episode ``index`` of the stream ``seed`` of a scene; the same pair gives the same episode.

    Pictures of ``size`` x ``size`` pixels are taken of every ``every``-th sample from ``first_frame`` on; none
    without a size.
    Raises ``RuntimeError`` where no attempt completes the task.
    """
    rng = np.random.default_rng([seed, index])
    for _ in range(ATTEMPTS):
        plan = scene.plan(rng)
        if plan is None:
            continue
        episode = _simulate(scene, plan, size, first_frame, every)
        if scene.succeeded(episode):
            return episode
    raise RuntimeError(f"no episode could be completed for seed {seed}, episode {index}")


def _simulate(scene: Scene, plan: Plan, size: int | None, first_frame: int, every: int) -> Episode:
    model, state = scene.model, scene.state
    mujoco.mj_resetData(model, state)
    for arm, angles in zip(scene.arms, np.split(plan.start, np.cumsum([len(a.address) for a in scene.arms])[:-1]),
                           strict=True):  # fmt: skip
        state.qpos[arm.address] = angles
    scene.begin(plan)
    camera = None if size is None else scene.camera(size, plan.look)
    apart = round(scene.period / (scene.timestep * scene.tick))
    sensed, truths, frames = [], [], []
    for tick in range(len(plan.commands)):
        sampled = tick % apart == 0
        if sampled:
            mujoco.mj_kinematics(model, state)
        scene.passed(plan, tick)
        if sampled:
            sensed.append(scene.sense(plan, tick))
            truths.append(scene.truth(plan, tick))
            since = len(sensed) - 1 - first_frame
            if camera is not None and since >= 0 and since % every == 0:
                frames.append(camera.render(state, scene.effects(plan, tick)))
        state.ctrl[:] = plan.commands[tick]
        if tick < len(plan.commands) - 1:
            mujoco.mj_step(model, state, scene.tick)
    truth = {name: np.array([sample[name] for sample in truths]) for name in truths[0]}
    streams = {name: np.array([sample[name] for sample in sensed]) for name in sensed[0]}
    return Episode(
        time=np.arange(len(sensed)) * scene.period, streams=scene.complete(plan, streams, truth),
        phase=plan.phase[::apart], truth=truth, facts=plan.facts, look=plan.look,
        frames=np.stack(frames) if frames else None, first_frame=first_frame,
    )  # fmt: skip


def generate(
    build: Callable[[], Scene],
    frames: int,
    size: int,
    seed: int,
    advance: Callable[[int], object] | None = None,
    workers: int | None = None,
) -> tuple[dict[str, np.ndarray], dict]:
    """Simulate whole episodes of a scene until ``frames`` windows are there; the last episode is cut to fit.

    An episode of 61 samples gives 42 windows at stride 1, so 500 frames take 12 episodes. A smaller request with
    the same seed is a prefix of a larger one. ``advance(n)`` is called whenever n more frames are done. Episodes do not
    depend on each other, so ``workers`` threads share them (None: one, or for large pictures one a core) and
    the data are the same for any number.

    Returns the arrays ``camera`` uint8 (N, size, size, 3), one float32 (N, 20, channels) for each modality that
    is sensed, ``episode`` int32 (N,); and notes: names of the channels, window, stride, period, MuJoCo's version.
    """
    if workers is None:
        workers = _cores() if size >= WORTH_SHARING else 1
    scenes = [build()]
    first = scenes[0]
    arrays = {"camera": np.empty((frames, size, size, 3), dtype=np.uint8)}
    for name, channels in first.channels.items():
        arrays[name] = np.empty((frames, WINDOW, len(channels)), dtype=np.float32)
    arrays["episode"] = np.empty(frames, dtype=np.int32)
    each = window_count(first.samples, stride=first.stride)

    def fill(scene: Scene, index: int) -> int:
        rows = slice(index * each, min((index + 1) * each, frames))
        count = rows.stop - rows.start
        episode = record(scene, seed, index, size, first_frame=WINDOW - 1, every=scene.stride)
        arrays["camera"][rows] = episode.frames[:count]
        for name in scene.channels:
            arrays[name][rows] = windows(episode.streams[name], stride=scene.stride)[:count]
        arrays["episode"][rows] = index
        return count

    total = -(-frames // each)
    workers = max(1, min(workers, total))
    scenes += [build() for _ in range(workers - 1)]
    for count in _shared(fill, scenes, total):
        if advance is not None:
            advance(count)
    notes = {
        "channels": {name: list(channels) for name, channels in first.channels.items()},
        "window": WINDOW, "stride": first.stride, "period": first.period, "mujoco": mujoco.__version__,
    }  # fmt: skip
    return arrays, notes


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shared(task: Callable[[Scene, int], int], scenes: list[Scene], total: int):
    """Results of the tasks 0 to total − 1, in order; each scene serves one thread at a time."""
    if len(scenes) == 1:
        yield from (task(scenes[0], index) for index in range(total))
        return
    with ThreadPoolExecutor(len(scenes)) as pool:
        free = list(scenes)

        def run(index: int) -> int:
            scene = free.pop()
            try:
                return task(scene, index)
            finally:
                free.append(scene)

        waiting = [pool.submit(run, index) for index in range(total)]
        try:
            for future in waiting:
                yield future.result()
        finally:
            for future in waiting:
                future.cancel()
