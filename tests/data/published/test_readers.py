"""What all readers share: the cache, the user's untouched folder, the command."""

import os

import numpy as np
import pytest

from mmfusion import cli, data
from mmfusion.data import DataError, published
from mmfusion.data.published import report, video
from tests.data import published_fixtures as fixtures


def state(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


@pytest.fixture
def decoded(monkeypatch):
    """Names of the videos decoded so far."""
    seen, real = [], video.pictures

    def watched(path, *arguments):
        seen.append(path.name)
        return real(path, *arguments)

    monkeypatch.setattr(video, "pictures", watched)
    return seen


def test_a_second_call_decodes_nothing_and_gives_the_same(robomnist, cache, decoded):
    before = state(robomnist)
    first = data.obtain("robomnist", robomnist, 12, 8, 0)
    assert len(decoded) == 4 and first.seconds > 0 and first.path.parent == cache
    second = data.obtain("robomnist", robomnist, 12, 8, 0)
    assert len(decoded) == 4 and second.seconds is None and second.path == first.path
    assert second.dataset.digest == first.dataset.digest
    assert second.dataset.parameters == first.dataset.parameters
    for name in ("camera", "sensor", "signal"):
        assert np.array_equal(first.dataset[name], second.dataset[name])
    assert state(robomnist) == before


def test_other_requests_and_other_contents_are_read_anew(robomnist, decoded):
    paths = {data.obtain("robomnist", robomnist, 12, 8, 0).path}
    paths.add(data.obtain("robomnist", robomnist, 13, 8, 0).path)
    paths.add(data.obtain("robomnist", robomnist, 12, 9, 0).path)
    paths.add(data.obtain("robomnist", robomnist, 12, 8, 1).path)
    paths.add(data.obtain("robomnist", robomnist, 12, 8, 0, options={"module": 2}).path)
    clip = next(robomnist.rglob("*_cam.mp4"))
    fixtures.video(clip, shape=(48, 96))
    paths.add(data.obtain("robomnist", robomnist, 12, 8, 0).path)
    assert len(paths) == 6 and len(decoded) == 24


def test_a_copy_elsewhere_is_the_same_data(industrial, tmp_path):
    first = data.obtain("industrial-dual", industrial, 12, 8)
    moved = industrial.rename(tmp_path / "elsewhere")
    again = data.obtain("industrial-dual", moved, 12, 8)
    assert again.seconds is None and again.path == first.path
    assert str(tmp_path) not in str(again.dataset.parameters)


def test_what_else_lies_in_the_folder_is_seen_although_the_arrays_are_cached(industrial):
    data.load("industrial-dual", industrial, 12, 8)
    (industrial / "notes.txt").write_text("new")
    assert data.load("industrial-dual", industrial, 12, 8).parameters["report"]["ignored"] == ["notes.txt"]


def test_a_damaged_cache_is_named_and_left_alone(industrial):
    path = data.obtain("industrial-dual", industrial, 12, 8).path
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(DataError, match=f"{path.name} is truncated, damaged or not a data set of mmfusion"):
        data.load("industrial-dual", industrial, 12, 8)
    assert path.stat().st_size == 99


def test_a_cached_file_under_another_name_is_refused(industrial):
    one, two = (data.obtain("industrial-dual", industrial, frames, 8).path for frames in (12, 13))
    os.replace(one, two)
    with pytest.raises(DataError, match="holds .*'frames': 12.*, wanted .*'frames': 13"):
        data.load("industrial-dual", industrial, 13, 8)


def test_the_users_folder_is_never_a_cache(industrial, monkeypatch):
    monkeypatch.setenv("MMFUSION_CACHE", str(industrial / "cache"))
    with pytest.raises(DataError, match="lies in the data folder; set MMFUSION_CACHE to another place"):
        data.load("industrial-dual", industrial, 12, 8)
    assert not (industrial / "cache").exists()


def test_names_are_known_beside_the_generated_ones(tmp_path):
    with pytest.raises(DataError, match="known: .*robomnist, industrial-mujoco, industrial-single, industrial-dual"):
        data.load("mosi", tmp_path)
    with pytest.raises(DataError, match="pick-and-place is generated and takes no options, got camera"):
        data.load("pick-and-place", tmp_path, options={"camera": 2})


def command(*words):
    return cli.main(["data", *map(str, words)])


def test_the_command_prints_the_report(robomnist, capsys):
    assert command("robomnist", "--root", robomnist, "--frames", 12, "--size", 8, "--quiet") == 0
    text = capsys.readouterr().out
    facts = {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines() if not line.startswith(" ")}
    assert facts["frames"] == "12 in 4 episodes" and facts["speed"].endswith("reading included")
    assert facts["found"].startswith("4 recordings, 12 files, ")
    assert facts["signal"] == "float32 (12, 20, 232)"
    assert facts["episodes"] == "4, 1 of them held out"
    assert facts["ignored"] == "README.txt" and "interpolat" not in facts["beware"]
    found = data.load("robomnist", robomnist, 12, 8).parameters["report"]
    for entry in found["files"]:
        assert f"{entry['sha256'][:16]}" in text and entry["name"] in text
    rows = [line.split() for line in text.splitlines() if line.startswith("  ") and "pictures" in line]
    assert [row[1] for row in rows].count("test") == 1 and [row[1] for row in rows].count("train") == 3
    assert command("robomnist", "--root", robomnist, "--frames", 12, "--size", 8, "--quiet") == 0
    assert "was there already" in capsys.readouterr().out


def test_options_of_a_reader_on_the_command_line(robomnist, capsys):
    words = ["robomnist", "--root", robomnist, "--frames", 4, "--size", 8]
    assert command(*words, "--option", "subcarriers=3", "--option", "view=right", "--option", "tolerance=0.7") == 0
    assert "float32 (4, 20, 3)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("robomnist", "name it by root"),
        ("robomnist --root /nowhere", "no folder at /nowhere"),
        ("robomnist --out /tmp", "name that by --root; --out is for generated sets"),
        ("pick-and-place --root /tmp", "choose its folder by --out; --root is for published sets"),
        ("robomnist --root /nowhere --option camera", "wanted NAME=VALUE, got 'camera'"),
        ("robomnist --root . --option colour=1", "unknown option colour"),
    ],
)
def test_bad_commands_are_one_line(capsys, words, said):
    try:
        code = command(*words.split())
    except SystemExit as stopped:
        code = stopped.code
    shown = capsys.readouterr()
    assert code == 2 and said in shown.err and shown.err.count("\n") == 1 and shown.out == ""


def test_all_names_are_listed(capsys):
    assert command("--list") == 0
    listed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(listed) == {*data.DATASETS, *published.READERS}
    assert "generated" in listed["pick-and-place"] and "figshare" in listed["robomnist"]


def test_sizes_read_well():
    said = [report._bytes(count) for count in (7, 1200, 3_400_000, 56_000_000_000)]
    assert said == ["7 B", "1.2 kB", "3.4 MB", "56.0 GB"]
