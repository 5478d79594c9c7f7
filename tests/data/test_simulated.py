"""The episodes obey the arm's limits, carry the object by contact, and give the sensors that they claim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfusion.data import scene
from mmfusion.data import simulated as sim

PHASE = {name: number for number, name in enumerate(sim.PHASES)}


def test_the_object_is_carried_by_contact_alone(cell):
    assert cell.model.neq == 0


def test_the_object_ends_at_its_target(episodes):
    for episode in episodes:
        assert np.allclose(episode.object[0, :2], episode.start)
        assert episode.miss < sim.TOLERANCE
        assert episode.object[-1, 2] == pytest.approx(scene.OBJECT_HALF[2], abs=2e-3)
        assert np.linalg.norm(episode.target - episode.start) >= sim.MIN_TRAVEL


def test_the_object_waits_then_flies_between_the_fingers(episodes):
    for episode in episodes:
        waiting, carried = episode.phase < PHASE["grasp"], episode.phase == PHASE["carry"]
        assert np.ptp(episode.object[waiting, :2], axis=0).max() < 1e-3
        assert episode.object[carried, 2].min() > 0.1
        hand = episode.sensor[carried, 12:15]
        assert np.linalg.norm(hand - episode.object[carried], axis=1).max() < 0.02
        assert np.allclose(episode.sensor[carried, 19], 2 * scene.OBJECT_HALF[0], atol=3e-3)
        assert episode.sensor[0, 19] == pytest.approx(scene.OPENING_MAX, abs=1e-3)


def test_joint_and_speed_limits_are_kept(episodes):
    for episode in episodes:
        assert np.abs(episode.sensor[:, :6]).max() < scene.JOINT_LIMIT
        assert np.abs(episode.sensor[:, 6:12]).max() < scene.SPEED_LIMIT


def test_speeds_are_the_derivative_of_the_angles(episodes):
    """Simpson's rule over two sampling periods: the integral of the speed is the change of the angle."""
    for episode in episodes:
        angle, speed = episode.sensor[:, :6], episode.sensor[:, 6:12]
        integral = sim.PERIOD / 3 * (speed[:-2] + 4 * speed[1:-1] + speed[2:])
        gap = np.abs(angle[2:] - angle[:-2] - integral)
        assert gap.max() < 0.05 and gap.mean() < 0.005
        assert np.abs(angle[2:] - angle[:-2] + integral).max() > 0.2  # the other sign would show


def test_the_gripper_pose_is_the_forward_kinematics_of_the_angles(cell, episodes):
    for episode in episodes:
        for sample in episode.sensor[::10]:
            position, quaternion = cell.arm.forward(sample[:6])
            assert np.allclose(position, sample[12:15], atol=1e-9)
            assert abs(quaternion @ sample[15:19]) == pytest.approx(1, abs=1e-9)


def test_the_quaternion_is_a_unit_and_never_flips(episodes):
    for episode in episodes:
        quaternion = episode.sensor[:, 15:19]
        assert np.allclose(np.linalg.norm(quaternion, axis=1), 1)
        assert np.linalg.norm(np.diff(quaternion, axis=0), axis=1).max() < 0.5


def test_the_gripper_never_reaches_the_table(episodes):
    lowest = min(episode.sensor[:, 14].min() for episode in episodes)
    assert lowest > 0.037  # half the finger pad's length: its tip stays above the table top


def test_episodes_repeat_by_seed_and_index_and_differ_otherwise(cell, episodes):
    again = cell.run(11, 2)
    assert np.array_equal(again.sensor, episodes[2].sensor)
    assert not np.allclose(again.sensor, episodes[3].sensor)
    assert not np.allclose(again.sensor, cell.run(12, 2).sensor)


def test_pictures_start_where_asked_and_leave_the_motion_alone(cell, episodes):
    filmed = cell.run(11, 0, cell.camera(8), first_frame=19)
    assert filmed.frames.shape == (sim.SAMPLES - 19, 8, 8, 3)
    assert np.array_equal(filmed.sensor, episodes[0].sensor)
    assert episodes[0].frames is None


def test_the_phases_follow_each_other(episodes):
    for episode in episodes:
        assert np.all(np.diff(episode.phase) >= 0)
        assert set(episode.phase) == set(range(len(sim.PHASES)))
        assert len(episode.time) == sim.SAMPLES == len(episode.sensor)
    assert sum(sim.PHASES.values()) == pytest.approx(sim.DURATION)


@given(st.integers(1, 80), st.integers(1, 30), st.integers(1, 5))
def test_window_counts(samples, length, stride):
    starts = [k for k in range(0, samples, stride) if k + length <= samples]
    assert sim.window_count(samples, length, stride) == len(starts)
    stream = np.arange(samples * 2.0).reshape(samples, 2)
    if starts:
        cut = sim.windows(stream, length, stride)
        assert cut.shape == (len(starts), length, 2)
        for window, start in zip(cut, starts, strict=True):
            assert np.array_equal(window, stream[start : start + length])
    else:
        with pytest.raises(ValueError, match=f"a window of {length} samples does not fit into {samples}"):
            sim.windows(stream, length, stride)


def test_windows_of_the_paper():
    assert sim.window_count(sim.SAMPLES) == sim.SAMPLES - 19
    with pytest.raises(ValueError, match="at least 1, got 0 and 1"):
        sim.window_count(10, 0, 1)


def test_a_window_ends_at_its_picture(cell):
    arrays = sim.generate(44, 8, seed=11)
    episode = cell.run(11, 0, cell.camera(8), first_frame=0)
    assert list(arrays["episode"]) == [0] * 42 + [1] * 2
    for k in (0, 17, 41):
        assert np.array_equal(arrays["camera"][k], episode.frames[k + 19])
        assert np.allclose(arrays["sensor"][k, -1], episode.sensor[k + 19], atol=1e-6)
        assert np.allclose(arrays["sensor"][k, 0], episode.sensor[k], atol=1e-6)


def test_progress_adds_up_and_a_short_request_is_a_prefix():
    seen = []
    long = sim.generate(50, 8, seed=4, advance=seen.append)
    short = sim.generate(20, 8, seed=4)
    assert sum(seen) == 50
    for name, values in short.items():
        assert np.array_equal(values, long[name][:20])
    assert long["sensor"].dtype == np.float32 and long["camera"].dtype == np.uint8


def test_an_episode_that_never_succeeds_is_an_error(cell, monkeypatch):
    monkeypatch.setattr(sim, "TOLERANCE", 0.0)
    monkeypatch.setattr(sim.Cell, "_plan", lambda self, rng: plans.append(1) or None)
    plans = []
    with pytest.raises(RuntimeError, match="seed 11, episode 0"):
        cell.run(11, 0)
    assert len(plans) == 50


def test_a_task_out_of_reach_is_drawn_again(cell, monkeypatch):
    monkeypatch.setattr(scene, "REACH", (1.2, 1.4))
    assert all(cell._plan(np.random.default_rng(s)) is None for s in range(10))
