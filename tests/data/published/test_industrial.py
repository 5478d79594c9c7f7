"""The industrial benchmark's arrays: windows, episodes, and one line for whatever is wrong."""

import numpy as np
import pytest

from mmfusion import data
from mmfusion.data import DataError, Standardiser
from tests.data import published_fixtures as fixtures

NAMES = ("industrial-mujoco", "industrial-single", "industrial-dual")


def load(root, frames=30, name="industrial-single", **more):
    return data.load(name, root, frames=frames, size=8, **more)


@pytest.mark.parametrize("name", NAMES)
def test_values_come_back_under_each_name(industrial, name):
    dataset = load(industrial, 40, name)
    assert dataset["camera"].shape == (40, 8, 8, 3) and dataset["sensor"].shape == (40, 20, 5)
    assert sorted(np.bincount(dataset.episode)) == [13, 13, 14]
    shown = dataset["camera"][:, 0, 0, 0] / 4
    assert np.array_equal(dataset["sensor"][:, -1, 0], shown) and shown.min() >= 19
    history = shown[:, None] + np.arange(-19, 1)
    assert np.array_equal(dataset["sensor"][..., 2], history + 200)
    assert dataset.parameters["name"] == name


def test_a_still_channel_is_kept_named_and_harmless(industrial):
    dataset = load(industrial)
    assert dataset.parameters["report"]["constant"] == {"sensor": ["sensor_3"]}
    train, _ = dataset.split()
    standardiser = Standardiser.fit(train)
    assert standardiser.scale["sensor"][3] == 1
    assert np.isfinite(train.tensors(standardiser)["sensor"].numpy()).all()


def test_a_folder_with_everything_gives_every_window(industrial):
    assert len(load(industrial, 9999)) == 3 * 41


def test_fewer_frames_than_recordings(industrial):
    dataset = load(industrial, 2)
    assert len(dataset) == 2 and len(dataset.episodes) == 2
    assert len(dataset.parameters["report"]["files"]) == 2


def test_channel_names_and_several_episodes_in_a_file(tmp_path):
    path = tmp_path / "set" / "a.npz"
    names, time = np.array(list("pqrst")), np.r_[0:30, 0:30] / 8
    fixtures.industrial(path, 60, episode=np.repeat([4, 2], 30), channels=names, time=time)
    dataset = load(path.parent, 99)
    assert dataset.channels == {"sensor": tuple("pqrst")}
    assert np.bincount(dataset.episode).tolist() == [11, 11]
    first = dataset["sensor"][dataset.episode == 1][0, :, 0]
    assert first.tolist() == list(range(30, 50))


def test_a_single_recording_is_cut_so_that_it_can_be_split(tmp_path):
    fixtures.industrial(tmp_path / "set" / "a.npz", 330)
    dataset = load(tmp_path / "set", 9999)
    assert len(dataset.episodes) == 8
    for episode in dataset.episodes:
        rows = dataset["sensor"][dataset.episode == episode][..., 0]
        others = dataset["sensor"][dataset.episode != episode][..., 0]
        assert not set(rows.ravel()) & set(others.ravel())
    assert any("one recording, cut into 8 stretches" in w for w in dataset.parameters["report"]["warnings"])
    fixtures.industrial(tmp_path / "few" / "a.npz", 30)
    assert len(load(tmp_path / "few").episodes) == 1


def test_a_short_recording_among_others_is_left_out_and_mentioned(industrial):
    fixtures.industrial(industrial / "short.npz", 12)
    found = load(industrial).parameters["report"]
    assert len(found["recordings"]) == 3 and "1 recordings are shorter" in found["warnings"][0]


def test_uncompressed_files_of_any_version_are_read(industrial):
    compressed = load(industrial)
    for path in industrial.glob("*.npz"):
        with np.load(path) as archive:
            arrays = dict(archive)
        np.savez(path, **arrays)
    assert np.array_equal(load(industrial)["camera"], compressed["camera"])


def cut(path):
    path.write_bytes(path.read_bytes()[:-300])


def flip(path):
    fixtures.industrial(path, camera=np.random.default_rng(0).integers(0, 256, (60, 16, 20, 3), dtype=np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def rewrite(**change):
    return lambda path: fixtures.industrial(path, **change)


PICKLED = np.array([{"a": 1}] * 60, dtype=object)
DAMAGES = {
    "empty": (lambda p: p.write_bytes(b""), "is empty"),
    "text": (lambda p: p.write_text("no archive " * 50), "truncated, damaged or foreign"),
    "truncated": (cut, "truncated, damaged or foreign .*wanted .npz files that hold camera"),
    "one bit": (flip, "truncated, damaged or foreign .*(CRC|invalid|decompress)"),
    "no camera": (rewrite(camera=None), r"lacks camera; it has \['sensor'\], wanted"),
    "no sensor": (rewrite(sensor=None), "lacks sensor; it has"),
    "grey pictures": (rewrite(camera=np.zeros((60, 8, 8), np.uint8)), r"camera is uint8 \(60, 8, 8\), wanted uint8"),
    "channels first": (rewrite(camera=np.zeros((60, 3, 8, 8), np.uint8)), r"camera is uint8 \(60, 3, 8, 8\), wanted"),
    "float pictures": (rewrite(camera=np.zeros((60, 8, 8, 3))), "camera is float64"),
    "whole numbers": (rewrite(sensor=np.zeros((60, 5), int)), r"sensor is int64 \(60, 5\), wanted floating point"),
    "windows": (rewrite(sensor=np.zeros((60, 20, 5))), r"sensor is float64 \(60, 20, 5\), wanted floating point"),
    "counts": (rewrite(sensor=np.zeros((59, 5))), r"sample counts differ \(camera 60, sensor 59\)"),
    "episode counts": (rewrite(episode=np.zeros(61, int)), r"sample counts differ .*episode 61"),
    "not finite": (rewrite(sensor=np.full((60, 5), np.nan)), "not finite"),
    "beyond single precision": (rewrite(sensor=np.full((60, 5), 1e300)), "not finite"),
    "pickles": (rewrite(camera=PICKLED), "camera holds Python objects"),
    "pickled sensor": (rewrite(sensor=PICKLED), "truncated, damaged or foreign"),
    "fortran": (rewrite(camera=np.asfortranarray(np.zeros((60, 8, 8, 3), np.uint8))), "Fortran order"),
    "other width": (rewrite(width=4), "r1.npz has 4 sensor channels , r0.npz has 5"),
    "other names": (rewrite(channels=np.array(list("abcde"))), r"r1.npz has 5 sensor channels \['a', 'b'"),
    "too many names": (rewrite(channels=np.array(list("abcdef"))), "channels is <U1 .6,., wanted 5 names"),
    "time runs back": (rewrite(time=np.r_[0:30, 29:59]), "unsynchronised time stamps: sample 31 is not later"),
    "time stands": (rewrite(time=np.full(60, np.nan)), "unsynchronised time stamps: sample 2 "),
    "time in words": (rewrite(time=np.array(["a"] * 60)), "time is <U1"),
    "episodes in bits": (rewrite(episode=np.zeros(60)), "episode is float64"),
    "episodes mixed": (rewrite(episode=np.r_[[1] * 20, [2] * 20, [1] * 20]), "comes back after another one"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_what_is_wrong_is_said_in_one_line_that_names_the_file(industrial, cache, case):
    change, said = DAMAGES[case]
    change(industrial / "r1.npz")
    with pytest.raises(DataError, match=said) as found:
        load(industrial)
    assert "r1.npz" in str(found.value) and "\n" not in str(found.value)
    assert not list(cache.glob("*.npz"))


def test_folders_without_recordings(tmp_path):
    with pytest.raises(DataError, match="industrial-dual is read from your own folder; name it by root"):
        load(None, name="industrial-dual")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="no .npz file in .*; industrial-single wants .npz files that hold camera"):
        load(tmp_path)
    fixtures.industrial(tmp_path / "a.npz", 19)
    with pytest.raises(DataError, match="a.npz has 19 samples; wanted at least 20, one window"):
        load(tmp_path)
    with pytest.raises(DataError, match="industrial-single takes no options, got camera"):
        load(tmp_path, options={"camera": 2})
