"""Files: whole or absent, verified when read, one clear line when something is wrong."""

import errno
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.data import store
from mmfusion.data.store import DataError

ARRAYS = {"camera": np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3), "sensor": np.ones((1, 2, 2), np.float32)}


def _write(path, arrays=ARRAYS, **metadata):
    store.write(path, arrays, {"digest": store.digest(arrays), **metadata})


def test_round_trip(tmp_path):
    _write(tmp_path / "x.npz", name="x", seed=3)
    arrays, metadata = store.read(tmp_path / "x.npz")
    assert arrays.keys() == ARRAYS.keys()
    assert all(np.array_equal(arrays[k], ARRAYS[k]) and arrays[k].dtype == ARRAYS[k].dtype for k in ARRAYS)
    assert metadata["seed"] == 3
    assert os.listdir(tmp_path) == ["x.npz"]


def test_the_digest_sees_values_shapes_types_and_names():
    a = np.arange(6, dtype=np.int32)
    variants = [
        {"a": a}, {"b": a}, {"a": a.reshape(2, 3)}, {"a": a.astype(np.int64)}, {"a": a + 1}, {"a": a[::-1]},
    ]  # fmt: skip
    assert len({store.digest(v) for v in variants}) == len(variants)
    assert store.digest({"a": a, "b": a}) == store.digest({"b": a.copy(), "a": a})


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_no_damaged_file_is_taken_for_a_whole_one(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damage") / "x.npz"
    _write(path)
    content = path.read_bytes()
    if data.draw(st.booleans()):
        damaged = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        where = data.draw(st.integers(0, len(content) - 1))
        damaged = content[:where] + bytes([content[where] ^ data.draw(st.integers(1, 255))]) + content[where + 1 :]
    path.write_bytes(damaged)
    try:
        arrays, _ = store.read(path)
    except DataError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:  # some bytes of an archive carry no meaning, such as time stamps: then nothing may be lost
        assert all(np.array_equal(arrays[k], ARRAYS[k]) for k in ARRAYS)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x80\x04\x95", b"PK\x03\x04"])
def test_foreign_files_are_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match="not a data set of mmfusion.*delete or move the file"):
        store.read(tmp_path / "x.npz")


def test_foreign_archives_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", camera=np.zeros(3))
    with pytest.raises(DataError, match="not a data set"):
        store.read(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", metadata=np.array([{"digest": "0"}], dtype=object))
    with pytest.raises(DataError, match="not a data set"):
        store.read(tmp_path / "y.npz")


def test_a_wrong_label_is_noticed(tmp_path):
    store.write(tmp_path / "x.npz", ARRAYS, {"digest": "0" * 64})
    with pytest.raises(DataError, match="its label says 000000000000"):
        store.read(tmp_path / "x.npz")


def test_a_missing_file_is_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError):
        store.read(tmp_path / "x.npz")


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, at):
    _write(tmp_path / "old.npz")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store.os, at, full)
    with pytest.raises(DataError, match=r"cannot write .*x\.npz: No space left on device"):
        _write(tmp_path / "x.npz")
    assert os.listdir(tmp_path) == ["old.npz"]


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store.os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path / "x.npz")
    assert os.listdir(tmp_path) == []


def test_prepare_makes_folders_and_refuses_files(tmp_path):
    store.prepare(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write data to the folder"):
        store.prepare(tmp_path / "file" / "sub")


def test_the_default_root(monkeypatch, tmp_path):
    monkeypatch.setenv("MMFUSION_CACHE", str(tmp_path))
    assert store.default_root() == tmp_path
    monkeypatch.delenv("MMFUSION_CACHE")
    monkeypatch.setattr(store.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert store.default_root() == tmp_path / "cache" / "mmfusion"
    monkeypatch.setattr(store.sys, "platform", "darwin")
    assert store.default_root().parts[-3:] == ("Library", "Caches", "mmfusion")
