"""From a scene to windows: cutting, prefixes, threads, and tasks that fail."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfusion.data import scenes
from mmfusion.data import simulated as sim
from mmfusion.data.scenes.pick_and_place import PickAndPlace


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


def test_windows_of_the_paper(cell):
    assert sim.window_count(cell.samples) == cell.samples - 19 == 42
    with pytest.raises(ValueError, match="at least 1, got 0 and 1"):
        sim.window_count(10, 0, 1)


@pytest.mark.parametrize("name", scenes.VERSIONS)
def test_a_window_ends_at_its_picture(name):
    scene = scenes.build(name)
    each = sim.window_count(scene.samples, stride=scene.stride)
    arrays, notes = sim.generate(lambda: scene, each + 2, 8, seed=11)
    episode = sim.record(scene, 11, 0, size=8)
    assert notes["stride"] == scene.stride
    assert arrays.keys() == {"camera", "episode", *scene.channels} == {"camera", "episode", *notes["channels"]}
    assert list(arrays["episode"]) == [0] * each + [1] * 2
    for k in (0, each // 2, each - 1):
        begin = k * scene.stride
        assert np.array_equal(arrays["camera"][k], episode.frames[begin + 19])
        for modality, names in notes["channels"].items():
            window, stream = arrays[modality][k], episode.streams[modality]
            assert window.shape == (20, len(names)) and window.dtype == np.float32
            assert np.allclose(window, stream[begin : begin + 20], rtol=1e-6, atol=1e-6)
            assert len(set(names)) == len(names) == stream.shape[1]


def test_every_second_picture(cell):
    whole, half = (sim.record(cell, 11, 0, size=8, first_frame=19, every=every) for every in (1, 2))
    assert np.array_equal(half.frames, whole.frames[::2]) and np.array_equal(half.sensor, whole.sensor)


@pytest.mark.parametrize("name", scenes.VERSIONS)
def test_a_short_request_is_a_prefix_for_any_number_of_threads(name):
    seen = []
    scene = scenes.build(name)
    each = sim.window_count(scene.samples, stride=scene.stride)
    long, _ = sim.generate(lambda: scenes.build(name), 2 * each + 2, 8, seed=4, advance=seen.append, workers=3)
    short, _ = sim.generate(lambda: scenes.build(name), each + 2, 8, seed=4)
    assert seen == [each, each, 2]
    for modality, values in short.items():
        assert np.array_equal(values, long[modality][: each + 2])
        assert np.isfinite(values).all()
    assert long["camera"].dtype == np.uint8
    assert not np.array_equal(long["sensor"][0], long["sensor"][each])


def test_large_pictures_are_shared_among_the_cores(monkeypatch):
    used = []
    monkeypatch.setattr(sim, "_cores", lambda: 2)
    monkeypatch.setattr(sim, "_shared", lambda task, scenes, total: used.append(len(scenes)) or iter(()))
    for size in (64, 256):
        sim.generate(PickAndPlace, 100, size, seed=0)
    assert used == [1, 2]


def test_an_episode_that_never_succeeds_is_an_error(cell, monkeypatch):
    plans = []
    monkeypatch.setattr(type(cell), "plan", lambda self, rng: plans.append(1))
    with pytest.raises(RuntimeError, match="seed 11, episode 0"):
        sim.record(cell, 11, 0)
    assert len(plans) == sim.ATTEMPTS


def test_an_episode_that_fails_is_drawn_again(cell, monkeypatch):
    first = sim.record(cell, 11, 0)
    answers = iter([False, True])
    monkeypatch.setattr(type(cell), "succeeded", lambda self, episode: next(answers))
    assert not np.allclose(sim.record(cell, 11, 0).sensor, first.sensor)


def test_an_error_in_a_thread_is_not_lost(cell, monkeypatch):
    monkeypatch.setattr(PickAndPlace, "plan", lambda self, rng: None)
    with pytest.raises(RuntimeError, match="no episode could be completed for seed 0, episode 0"):
        sim.generate(PickAndPlace, 100, 8, seed=0, workers=2)


def test_an_unknown_scene_lists_the_known():
    with pytest.raises(ValueError, match="unknown scene 'painting'; known: pick-and-place, welding-single"):
        scenes.build("painting")
