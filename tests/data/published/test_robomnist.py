"""RoboMNIST: values come back, streams meet at the picture, and whatever is wrong is named in one line."""

import json
import shutil

import numpy as np
import pytest

from mmfusion import data
from mmfusion.data import DataError
from mmfusion.data.published import robomnist as reader
from tests.data import published_fixtures as fixtures


def load(root, frames=20, **more):
    return data.load("robomnist", root, frames=frames, size=8, **more)


def numbers(dataset):
    """The picture numbers, told from the ramp of colours."""
    return (dataset["camera"][..., 0].mean(axis=(1, 2)) / 7).round().astype(int)


def test_shapes_names_and_episodes(robomnist):
    dataset = load(robomnist, frames=30)
    assert dataset["camera"].shape == (30, 8, 8, 3) and dataset["camera"].dtype == np.uint8
    assert dataset["sensor"].shape == (30, 20, 17) and dataset["signal"].shape == (30, 20, 232)
    assert list(dataset.modalities) == ["camera", "sensor", "signal"]
    assert np.bincount(dataset.episode).tolist() == [8, 8, 7, 7]
    assert dataset.channels["sensor"] == reader.SENSOR and len(set(dataset.channels["signal"])) == 232
    assert dataset.parameters["window"] == 20 and dataset.parameters["stride"] == 1
    train, test = dataset.split()
    assert len(test.episodes) == 1 and set(train.tensors(data.Standardiser.fit(train))) == set(dataset.modalities)


def test_windows_of_both_streams_end_at_the_pictures_time(robomnist):
    dataset = load(robomnist, frames=30)
    shown = numbers(dataset)
    assert shown.min() >= 19 and shown.max() <= 35
    for episode in dataset.episodes:
        assert (np.diff(shown[dataset.episode == episode]) > 0).all()
    history = shown[:, None] + np.arange(-19, 1)
    assert np.allclose(dataset["sensor"][..., :7], history[..., None] / 30 * fixtures.ANGLES, atol=1e-5)
    assert np.allclose(dataset["sensor"][..., 7:14], fixtures.ANGLES, atol=1e-5)
    assert np.allclose(dataset["sensor"][..., 14], np.cos(history / 30), atol=1e-4)
    kept = np.array(reader.USED)
    expected = np.where(kept == 200, 0, 100 + kept + history[..., None])
    assert np.allclose(dataset["signal"], expected, atol=1e-2)


def test_the_authors_24_subcarriers_are_left_out():
    assert len(reader.UNUSED) == 24 and len(reader.USED) == 232
    assert {0, 4, 115, 122, 131, 253, 255} <= set(reader.UNUSED) and {5, 114, 121, 132, 252} <= set(reader.USED)


def test_options_choose_camera_module_view_and_subcarriers(robomnist):
    for path in sorted(robomnist.rglob("*_Rx1_cam.mp4")):
        shutil.copy(path, str(path).replace("Rx1", "Rx3"))
    dataset = load(robomnist, options={"camera": 3, "module": 2, "view": "right", "subcarriers": 5})
    assert dataset["camera"][..., 2].min() > 200
    assert dataset.channels["signal"] == tuple(f"subcarrier_{k}" for k in (5, 63, 137, 194, 252))
    assert dataset["signal"][..., 0].min() >= 205
    assert dataset.parameters["options"]["camera"] == 3
    assert {f["name"][-8:] for f in dataset.parameters["report"]["files"]} == {"_cam.mp4", "csi.json", "pos.json"}
    assert all("Rx1" not in f["name"] for f in dataset.parameters["report"]["files"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"camera": 4}, "option camera must be one of 1, 2, 3; got 4"),
        ({"module": True}, "option module must be one of 1, 2, 3; got True"),
        ({"view": "up"}, "option view must be one of left, right, whole"),
        ({"subcarriers": 0}, "option subcarriers must be one of 1 to 232; got 0"),
        ({"subcarriers": 5.0}, "option subcarriers must be one of 1 to 232; got 5.0"),
        ({"camera": 1.0}, "option camera must be one of 1, 2, 3; got 1.0"),
        ({"tolerance": "much"}, "option tolerance must be seconds"),
        ({"colour": 1}, "unknown option colour of robomnist; known: camera"),
    ],
)
def test_impossible_options_are_refused(robomnist, options, said):
    with pytest.raises(DataError, match=said):
        load(robomnist, options=options)


def test_arm_and_signal_are_resampled_to_the_cameras_clock(one):
    """The arm at 45 samples/s, the signal at 20: values agree with the time of the picture, not with row numbers."""
    folder, stem = one
    stamps = fixtures.stamps(54, 45).tolist()
    joints = np.outer(np.array(stamps) / 1e9, fixtures.ANGLES).tolist()
    fixtures.position(
        folder / f"{stem}_Rxall_pos.json", time_stamp_ns=stamps, joint_positions=joints, EE_positions=[[0, 0, 1]] * 54
    )
    fixtures.csi(folder / f"{stem}_Rxall_csi.json", 24, time_stamp_ns=fixtures.stamps(24, 20).tolist())
    dataset = load(folder)
    seconds = (numbers(dataset)[:, None] + np.arange(-19, 1)) / 30
    assert np.allclose(dataset["sensor"][..., 6], 0.7 * seconds, atol=1e-4)
    assert np.allclose(dataset["signal"][..., 0], 105 + np.minimum(20 * seconds, 23), atol=1e-2)


def test_stamps_may_count_from_any_moment_that_both_share(one):
    folder, stem = one
    plain = load(folder)
    later = (fixtures.stamps(fixtures.PICTURES) + 1_700_000_000_000_000_000).tolist()
    fixtures.position(folder / f"{stem}_Rxall_pos.json", time_stamp_ns=later)
    fixtures.csi(folder / f"{stem}_Rxall_csi.json", time_stamp_ns=later)
    moved = load(folder)
    for name in ("sensor", "signal"):
        assert np.allclose(plain[name], moved[name], atol=1e-3)


def test_a_small_request_reads_few_recordings_and_a_seed_draws_them(tmp_path):
    root = fixtures.robomnist(tmp_path / "many", recordings=7)
    used = [{row["name"] for row in load(root, 8, seed=s).parameters["report"]["recordings"]} for s in range(4)]
    assert all(len(names) == 4 for names in used) and len(set().union(*used)) > 4
    assert len(load(root, 500)) == 7 * 17


def test_the_report_says_what_was_found(robomnist):
    found = load(robomnist, frames=30).parameters["report"]
    assert found["found"]["recordings"] == 4 and found["found"]["files"] == 12 == len(found["files"])
    assert found["found"]["bytes"] == sum(entry["bytes"] for entry in found["files"])
    assert found["ignored"] == ["README.txt"]
    assert found["constant"]["signal"] == ["subcarrier_200"] and "effector_z" in found["constant"]["sensor"]
    assert [row["samples"] for row in found["recordings"]] == [8, 8, 7, 7]
    assert found["recordings"][0]["pictures"] == fixtures.PICTURES


def test_a_silent_receiver_is_mentioned(one):
    folder, stem = one
    stamps = np.delete(fixtures.stamps(fixtures.PICTURES), range(10, 20))
    fixtures.csi(folder / f"{stem}_Rxall_csi.json", len(stamps), time_stamp_ns=stamps.tolist())
    warnings = load(folder).parameters["report"]["warnings"]
    assert any("is silent for 0.37 s" in warning for warning in warnings)


def damage(folder, stem, kind, change):
    path = folder / f"{stem}_{kind}"
    change(path)
    return path


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def rewrite(write, **change):
    return lambda path: write(path, **change)


BACK = [0, 5, 4, *range(6, 39)]
POS, CSI, CAM = "Rxall_pos.json", "Rxall_csi.json", "Rx1_cam.mp4"
LATE = (fixtures.stamps(fixtures.PICTURES) + 10**9).tolist()
WAY_OFF = (fixtures.stamps(fixtures.PICTURES) + 10**12).tolist()
DAMAGES = {
    "missing video": (CAM, lambda p: p.unlink(), "is missing; wanted it beside"),
    "missing positions": (POS, lambda p: p.unlink(), "is missing; wanted it beside"),
    "empty file": (CSI, lambda p: p.write_bytes(b""), "is empty; get the file again"),
    "truncated json": (POS, cut, "is truncated or no JSON"),
    "truncated video": (CAM, cut, "is (truncated|damaged)"),
    "text as video": (CAM, lambda p: p.write_text("hello " * 99), "no MP4 video"),
    "json of another kind": (POS, lambda p: p.write_text('{"a": 1}'), "wanted a list of mappings .* robot_number"),
    "deep json": (POS, lambda p: p.write_text("[" * 100_000), "is truncated or no JSON"),
    "other arms": (POS, rewrite(fixtures.position, arms=(2, 3)), r"mislabelled: .* are \[2, 3\]; wanted 1 exactly"),
    "other modules": (CSI, rewrite(fixtures.csi, modules=(2, 3)), "mislabelled: its module_numbers are .*; wanted 1"),
    "64 subcarriers": (CSI, rewrite(fixtures.csi, subcarriers=64), r"shape \(36, 64\), wanted \(samples, 256\)"),
    "ragged csi": (CSI, rewrite(fixtures.csi, complex_csi=[["1j"], []]), "complex_csi wants rows of complex numbers"),
    "words in csi": (CSI, rewrite(fixtures.csi, complex_csi=[["one"] * 256] * 36), "complex_csi wants rows of complex"),
    "no csi": (CSI, rewrite(fixtures.csi, complex_csi=None), "complex_csi wants rows of complex"),
    "csi not finite": (CSI, rewrite(fixtures.csi, complex_csi=[["nan"] * 256] * 36), "values that are not finite"),
    "six joints": (POS, rewrite(fixtures.position, joint_positions=[[0] * 6] * 36), r"shape \(36, 6\), wanted .*7"),
    "joints not finite": (POS, rewrite(fixtures.position, joint_positions=[[np.inf] * 7] * 36), "not finite"),
    "joints in words": (POS, rewrite(fixtures.position, joint_positions=[["a"] * 7] * 36), "no table of numbers"),
    "differing counts": (
        POS, rewrite(fixtures.position, EE_positions=[[0] * 3] * 35),
        r"sample counts differ .*\(time_stamp_ns 36, joint_positions 36, EE_positions 35\)",
    ),
    "fewer rows than stamps": (CSI, rewrite(fixtures.csi, count=30, time_stamp_ns=LATE), "complex_csi 30"),
    "time runs back": (POS, rewrite(fixtures.position, time_stamp_ns=BACK), "unsynchronised .* sample 3 is not later"),
    "no common moment": (CSI, rewrite(fixtures.csi, time_stamp_ns=WAY_OFF), "no moment in common with .*pos.json"),
    "late signal": (CSI, rewrite(fixtures.csi, time_stamp_ns=LATE), r"begin 1.00 s apart; wanted at most 0.5 s"),
    "slow video": (CAM, rewrite(fixtures.video, rate=15), r"pos.json is unsynchronised: .*end 1.17 s apart"),
    "short video": (CAM, rewrite(fixtures.video, pictures=12), r"end 0.80 s apart"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGES)
def test_what_is_wrong_is_said_in_one_line_that_names_the_file(one, cache, case):
    kind, change, said = DAMAGES[case]
    folder, stem = one
    path = damage(folder, stem, kind, change)
    with pytest.raises(DataError, match=said) as found:
        load(folder)
    named = POS if case == "slow video" or case == "short video" else kind
    assert f"{stem}_{named}" in str(found.value) and "\n" not in str(found.value)
    assert not path.exists() or path.is_file()
    assert not list(cache.glob("*.npz"))


def test_a_tolerance_can_be_widened(one):
    folder, stem = one
    fixtures.csi(folder / f"{stem}_Rxall_csi.json", time_stamp_ns=LATE)
    assert len(load(folder, options={"tolerance": 1.5})) == 17


def test_a_recording_shorter_than_a_window(tmp_path):
    fixtures.recording(tmp_path / "short", pictures=19)
    with pytest.raises(DataError, match="cam.mp4 has 19 pictures; wanted at least 20, one window"):
        load(tmp_path / "short")


@pytest.mark.parametrize(
    "name",
    [
        "Rp01_Ac6_Vfast_Ar1_UNC187_Rx1_cam.mp4", "Rp01_Ac6_Vhigh_Ar3_UNC187_Rxall_pos.json", "Rp1.mp4",
        "Rp01_Ac6_Vhigh_Ar1_UNC187_Rx4_cam.mp4", "xy_Rxall_csi.json",
    ],
)  # fmt: skip
def test_foreign_names_are_named(one, name):
    (one[0] / name).write_text("x")
    with pytest.raises(DataError, match=f"{name} is foreign or mislabelled; wanted recordings named as Rp01_"):
        load(one[0])


def test_a_folder_that_contradicts_the_name(tmp_path):
    fixtures.recording(tmp_path / "set" / "00_Ar1_Vhigh_Ac0", digit=6)
    with pytest.raises(DataError, match="is mislabelled: its folder says Ac0, its name says Rp01_Ac6"):
        load(tmp_path / "set")


def test_a_recording_in_two_places(one):
    shutil.copytree(one[0], one[0] / "copy")
    with pytest.raises(DataError, match="occurs twice"):
        load(one[0])


def test_folders_without_recordings(tmp_path):
    with pytest.raises(DataError, match="name it by root .data_root in notebooks.: recordings named as Rp01_"):
        load(None)
    with pytest.raises(DataError, match="no folder at .*nowhere; robomnist wants a folder with recordings"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no RoboMNIST recording in .*empty; wanted recordings named as"):
        load(tmp_path / "empty")


def test_a_json_is_only_data(one):
    """Whatever a file says, it is parsed as JSON and numbers."""
    folder, stem = one
    fixtures.csi(folder / f"{stem}_{CSI}", complex_csi=[["__import__('os').getcwd()"] * 256] * 36)
    with pytest.raises(DataError, match="complex_csi wants rows of complex numbers as text"):
        load(folder)
    assert json.loads((folder / f"{stem}_{POS}").read_text())[0]["robot_number"] == 1
