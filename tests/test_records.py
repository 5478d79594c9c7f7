"""Records on disk: whole or absent, checked at the door, honest about where they come from."""

import errno
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmfusion import records

LEAVES = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(
    st.characters(exclude_categories=["Cs"])
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé ∞", max_size=4), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@pytest.fixture
def kept(tmp_path):
    """A record that exists before something goes wrong with its successor."""
    return records.write(tmp_path / "run.json", {"schema": "run/1", "loss": 0.25})


def untouched(path):
    """The old record is whole, and nothing else lies beside it."""
    return records.read(path, "run/1")["loss"] == 0.25 and os.listdir(path.parent) == [path.name]


@given(tree=TREES)
def test_round_trip(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "deep" / "folder" / "a.json"
    records.write(path, {"schema": "any/1", "value": tree})
    assert records.read(path, "any/1", ["value"])["value"] == tree


def test_numbers_of_other_libraries_become_plain(tmp_path):
    record = {
        "schema": "run/1", "array": np.arange(4).reshape(2, 2), "tensor": torch.tensor([1.5, 2.5], requires_grad=True),
        "scalar": np.float32(0.5), "flag": np.bool_(True), "whole": np.int64(7), "path": tmp_path / "x",
        "formula": sympy.Symbol("M") ** 2, "pair": (1, 2),
    }  # fmt: skip
    found = records.read(records.write(tmp_path / "run.json", record), "run/1")
    assert found == {
        "schema": "run/1", "array": [[0, 1], [2, 3]], "tensor": [1.5, 2.5], "scalar": 0.5, "flag": True, "whole": 7,
        "path": str(tmp_path / "x"), "formula": "M**2", "pair": [1, 2],
    }  # fmt: skip


def test_floats_survive_to_the_last_bit(tmp_path):
    values = [0.1, 1e-320, 1.7976931348623157e308, -0.0, float("inf")]
    found = records.read(records.write(tmp_path / "a.json", {"schema": "a", "x": values}), "a")["x"]
    assert [value.hex() for value in found] == [value.hex() for value in values]


@pytest.mark.parametrize("value", [{1, 2}, object(), 1j, b"bytes"])
def test_unfit_values_are_refused_and_nothing_is_written(value, kept):
    with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
        records.write(kept, {"schema": "run/1", "loss": 1.0, "value": value})
    assert untouched(kept)


def test_a_record_names_its_schema(tmp_path):
    with pytest.raises(records.RecordError, match="no 'schema'"):
        records.write(tmp_path / "a.json", {"loss": 1.0})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("keep", [0, 1, 17, -2])
def test_truncated_records_say_so(kept, keep):
    kept.write_bytes(kept.read_bytes()[:keep])
    with pytest.raises(records.RecordError, match=r"run\.json is truncated or not JSON.*delete it"):
        records.read(kept, "run/1")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 200_000, b"{'schema': 'run/1'}", b"\x00" * 64])
def test_garbage_says_so(kept, content):
    kept.write_bytes(content)
    with pytest.raises(records.RecordError, match="truncated or not JSON"):
        records.read(kept, "run/1")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2]", "holds a list, wanted a mapping with schema 'run/1'"),
        ("3", "holds a int"),
        ("null", "holds a NoneType"),
        ('{"schema": "run/2", "loss": 1}', "has schema 'run/2', wanted 'run/1'"),
        ('{"loss": 1}', "has schema None, wanted 'run/1'"),
        ('{"schema": "run/1"}', "lacks loss, epochs"),
    ],
)
def test_foreign_records_say_what_was_wanted(kept, content, words):
    kept.write_text(content)
    with pytest.raises(records.RecordError, match=words):
        records.read(kept, "run/1", ["loss", "epochs"])


def test_missing_record_and_folder_in_its_place(tmp_path):
    with pytest.raises(records.RecordError, match=r"cannot read record .*a\.json: No such file"):
        records.read(tmp_path / "a.json", "run/1")
    with pytest.raises(records.RecordError, match="cannot read record .*: Is a directory"):
        records.read(tmp_path, "run/1")


def test_a_file_where_a_folder_is_wanted(kept):
    with pytest.raises(records.RecordError, match="cannot write .*next.json"):
        records.write(kept / "next.json", {"schema": "run/1"})
    assert untouched(kept)


def test_a_folder_where_the_file_is_wanted(tmp_path):
    (tmp_path / "run.json").mkdir()
    with pytest.raises(records.RecordError, match="cannot write .*run.json"):
        records.write(tmp_path / "run.json", {"schema": "run/1"})
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_full_or_unwritable_disk_leaves_the_old_record(kept, monkeypatch, call, code):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(records.RecordError, match=rf"cannot write .*run\.json: {os.strerror(code)}"):
        records.write(kept, {"schema": "run/1", "loss": 9.0})
    monkeypatch.undo()
    assert untouched(kept)


def test_interrupt_leaves_the_old_record(kept, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        records.write(kept, {"schema": "run/1", "loss": 9.0})
    monkeypatch.undo()
    assert untouched(kept)


def test_a_file_size_limit_stands_for_a_full_disk(kept):
    """The real thing: the kernel refuses in the middle of the write."""
    code = (
        "import resource, signal, sys\nfrom mmfusion import records\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    records.write(sys.argv[1], {'schema': 'run/1', 'loss': [0.5] * 10000})\n"
        "except records.RecordError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(kept)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"cannot write {kept}: ")
    assert untouched(kept)


def test_folder_without_write_permission():
    """As an ordinary user, for root may write anywhere."""
    code = (
        "import os, sys\nfrom mmfusion import records\n"
        "if os.geteuid() == 0:\n    os.setgid(65534)\n    os.setuid(65534)\n"
        "try:\n    records.write(sys.argv[1], {'schema': 'run/1'})\n"
        "except records.RecordError as error:\n    print(error)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = records.write(Path(folder) / "run.json", {"schema": "run/1", "loss": 0.25})
        path.parent.chmod(0o555)
        try:
            done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120)
        finally:
            path.parent.chmod(0o755)
        assert done.stdout == f"cannot write {path}: Permission denied\n", done.stderr
        assert untouched(path)


def test_a_reader_never_sees_a_part(tmp_path):
    path, stop, seen = tmp_path / "run.json", threading.Event(), set()
    records.write(path, {"schema": "run/1", "x": [0] * 2000})

    def watch():
        while not stop.is_set():
            seen.add(len(records.read(path, "run/1")["x"]))

    reader = threading.Thread(target=watch)
    reader.start()
    for size in (1, 3000) * 20:
        records.write(path, {"schema": "run/1", "x": [0] * size})
    stop.set()
    reader.join()
    assert seen <= {1, 2000, 3000}
    assert seen


def test_long_names_and_modes(tmp_path):
    path = records.write(tmp_path / ("n" * 240 + ".json"), {"schema": "run/1"})
    assert path.stat().st_mode & 0o777 == 0o644
    assert records.read(path, "run/1") == {"schema": "run/1"}


def test_bytes_are_written_as_they_are(tmp_path):
    content = bytes(range(256)) * 3
    assert records.write_bytes(tmp_path / "blob", content).read_bytes() == content


@given(mapping=st.dictionaries(st.text(max_size=5), LEAVES, min_size=1, max_size=5))
def test_digest_ignores_order_and_sees_content(mapping):
    backwards = dict(reversed(mapping.items()))
    assert records.digest(mapping) == records.digest(backwards)
    assert records.digest({**mapping, "\x00more": 1}) != records.digest(mapping)


def test_digest_of_equal_values_from_other_libraries():
    assert records.digest({"x": np.array([1, 2]), "y": np.float64(0.1)}) == records.digest({"y": 0.1, "x": (1, 2)})
    assert len(records.digest({})) == 64


def test_provenance_keeps_facts_and_stamps_versions():
    stamped = records.provenance(profile="quick", seeds=[0, 1], torch="forged", commit="forged")
    assert stamped["profile"] == "quick"
    assert stamped["seeds"] == [0, 1]
    assert stamped["torch"] == torch.__version__.split("+")[0]
    assert stamped["numpy"] == np.__version__
    assert stamped["commit"] != "forged"
    assert json.loads(json.dumps(stamped)) == stamped


def test_commit_is_unknown_outside_the_projects_repository(tmp_path, monkeypatch):
    monkeypatch.delenv("MMFUSION_COMMIT", raising=False)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "surrounding"], check=True)
    site = tmp_path / "venv" / "site-packages" / "mmfusion"
    site.mkdir(parents=True)
    monkeypatch.setattr(records, "__file__", str(site / "records.py"))
    assert records.provenance()["commit"] == "unknown"

    own = tmp_path / "mmfusion"
    own.mkdir()
    monkeypatch.setattr(records, "__file__", str(own / "records.py"))
    clean = records.provenance()["commit"]
    assert len(clean) == 10
    (own / "new.py").write_text("untracked files are not counted")
    assert records.provenance()["commit"] == clean
    subprocess.run([*git, "add", "mmfusion/new.py"], check=True)
    assert records.provenance()["commit"] == clean + "-dirty"

    monkeypatch.setenv("PATH", "")
    assert records.provenance()["commit"] == "unknown"
    monkeypatch.setenv("MMFUSION_COMMIT", "abc")
    assert records.provenance()["commit"] == "abc"


def test_hardware_names_the_accelerator(monkeypatch):
    assert records.hardware("cpu") == {}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device}")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91300)
    assert records.hardware("cuda:1") == {"accelerator": "card cuda:1", "cuda": "13.0", "cudnn": 91300}


def test_a_folder_is_tried_before_long_work(tmp_path):
    assert records.prepare(tmp_path / "a/b").is_dir() and not any((tmp_path / "a/b").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(records.RecordError, match="cannot write records to the folder .*file: .*; choose"):
        records.prepare(tmp_path / "file")
