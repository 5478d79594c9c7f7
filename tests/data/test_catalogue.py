"""Data sets by name: made once, kept, never overwritten."""

import os

import numpy as np
import pytest

from mmfusion import data
from mmfusion.data import DataError, catalogue, store


@pytest.fixture
def instant(monkeypatch):
    """A data set that costs nothing, to test what surrounds it."""
    calls = []

    def generate(frames, size, seed, advance):
        calls.append((frames, size, seed))
        advance(frames)
        arrays = {
            "camera": np.full((frames, size, size, 3), seed, np.uint8),
            "sensor": np.zeros((frames, 2, 1), np.float32),
            "episode": np.arange(frames, dtype=np.int32),
        }
        return arrays, {"channels": {"sensor": ["a"]}}

    monkeypatch.setitem(catalogue.DATASETS, "instant", catalogue.Recipe(1, generate))
    return calls


def test_the_same_seed_gives_the_same_hash_and_another_seed_another(stored, tmp_path):
    again = data.obtain("pick-and-place", tmp_path, frames=130, size=16, seed=3)
    assert again.seconds is not None
    assert again.dataset.digest == stored.dataset.digest
    assert again.path.name == stored.path.name
    other = data.load("pick-and-place", tmp_path, frames=130, size=16, seed=4)
    assert other.digest != stored.dataset.digest


def test_a_second_call_reads_the_file(stored, root):
    again = data.obtain("pick-and-place", root, frames=130, size=16, seed=3)
    assert stored.seconds is not None and again.seconds is None
    assert np.array_equal(again.dataset["camera"], stored.dataset["camera"])
    assert np.array_equal(again.dataset["sensor"], stored.dataset["sensor"])
    assert again.dataset.parameters == stored.dataset.parameters
    assert again.dataset.parameters["window"] == 20 and again.dataset.parameters["mujoco"]
    assert store.digest(store.read(stored.path)[0]) == stored.dataset.digest


def test_a_data_set_is_made_once_per_parameters(instant, tmp_path):
    for _ in range(2):
        data.load("instant", tmp_path, frames=3, size=8, seed=1)
    data.load("instant", tmp_path, frames=3, size=8, seed=2)
    assert instant == [(3, 8, 1), (3, 8, 2)]


def test_the_cache_folder_comes_from_the_environment(instant, tmp_path, monkeypatch):
    monkeypatch.setenv("MMFUSION_CACHE", str(tmp_path / "here"))
    assert data.obtain("instant", frames=1).path.parent == tmp_path / "here"


def test_a_damaged_file_is_named_and_left_alone(instant, tmp_path):
    path = data.obtain("instant", tmp_path, frames=3, size=8).path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=path.name):
        data.load("instant", tmp_path, frames=3, size=8)
    assert path.stat().st_size == 100 and len(instant) == 1


def test_a_file_under_another_name_is_refused(instant, tmp_path):
    made = data.obtain("instant", tmp_path, frames=3, size=8, seed=1).path
    os.rename(made, str(made).replace("-s1", "-s2"))
    with pytest.raises(DataError, match="wanted .*'seed': 2"):
        data.load("instant", tmp_path, frames=3, size=8, seed=2)


def test_a_file_with_other_arrays_is_refused(instant, tmp_path):
    made = data.obtain("instant", tmp_path, frames=3, size=8)
    arrays = {"camera": made.dataset["camera"]}
    label = {"name": "instant", "frames": 3, "size": 8, "seed": 0, "version": 1, "digest": store.digest(arrays)}
    store.write(made.path, arrays, label)
    with pytest.raises(DataError, match="is not a data set of mmfusion"):
        data.load("instant", tmp_path, frames=3, size=8)


def test_an_unknown_data_set_lists_the_known(tmp_path):
    with pytest.raises(DataError, match="unknown data set 'pick'; known: pick-and-place"):
        data.load("pick", tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"frames": 0}, "frames must be .* at least 1, got 0"), ({"size": 7}, "size"), ({"seed": -1}, "seed .* got -1")],
)
def test_bad_parameters_are_refused_before_anything_is_written(instant, tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        data.load("instant", tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists() and not instant


def test_parameters_must_be_whole_numbers():
    for wrong in (True, 2.5, "3", None):
        with pytest.raises(ValueError, match="whole number"):
            catalogue._whole(wrong, "frames", 1)
    assert catalogue._whole(np.int64(4), "frames", 1) == 4


def test_a_folder_that_cannot_be_written_stops_before_the_work(instant, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write data to the folder"):
        data.load("instant", tmp_path / "file", frames=2)
    assert not instant


def test_too_much_for_the_memory_is_said_so(monkeypatch, tmp_path):
    def generate(*_):
        raise MemoryError

    monkeypatch.setitem(catalogue.DATASETS, "huge", catalogue.Recipe(1, generate))
    with pytest.raises(DataError, match="9 frames of 64 x 64 pixels do not fit into memory"):
        data.load("huge", tmp_path, frames=9)
    assert os.listdir(tmp_path) == []


def test_without_mujoco_the_error_says_what_to_install(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(DataError, match=r"pip install 'mmfusion\[data\]'"):
        data.load("pick-and-place", tmp_path, frames=1, size=8)
