"""The path to the paper's scale, cut down: the same graph, records that may be kept, and none that may not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from mmfusion import records, runs
from mmfusion.training import Settings
from workflow import keep, settings

ROOT = Path(__file__).resolve().parents[1]


def cut_down(profile: dict) -> dict:
    """Profile `paper` on a CPU in seconds; precision, memory layout and the number of trials at once stay."""
    sizes = {name: {"frames": 160, "size": 16, "seed": 0} for name in profile["data"]}
    train = profile["train"] | {
        "seeds": [0, 1], "epochs": 2, "batch_size": 16, "channels": [4, 4], "widths": [16], "measure_every": 1,
        "measure_samples": 2, "device": "cpu", "test_fraction": 0.34,
    }  # fmt: skip
    return profile | {"data": sizes, "train": train, "trials_at_once": 2}


def test_the_profile_asks_for_what_the_paper_states_and_a_gpu_wants():
    """Section 5.3: 256 pixels, 200 epochs, batches of 64, ten trials; bfloat16 on CUDA."""
    for name, experiment in settings.read(ROOT / "profiles/paper.yml")["experiments"].items():
        train = experiment["train"]
        assert (train["epochs"], train["batch_size"], len(train["seeds"])) == (200, 64, 10), name
        assert (train["device"], train["mixed_precision"]) == ("cuda", True), name
    options = Settings(device="cpu")
    object.__setattr__(options, "device", "cuda")
    assert options.layout == torch.channels_last and Settings(channels_last=False).layout == torch.preserve_format


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project, under version control, with the cut-down profile and one variant trained by the graph."""
    heavy = shutil.ignore_patterns(
        ".git", ".venv", "_build", ".snakemake", "__pycache__", "shared", ".*_cache", ".hypothesis"
    )
    copy = shutil.copytree(ROOT, tmp_path_factory.mktemp("scale") / "copy", ignore=heavy)
    shutil.rmtree(copy / "results/paper", ignore_errors=True)
    profile = yaml.safe_load((ROOT / "profiles/paper.yml").read_text())
    (copy / "profiles/paper.yml").write_text(yaml.safe_dump(cut_down(profile)))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "cut down"]):
        subprocess.run([*git, *command], cwd=copy, check=True, capture_output=True)
    target = "_build/paper/executed/train/mujoco/sum.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--nolock", "--cores", "2", "--config", "profile=paper", "--", target],
        cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return copy


@pytest.fixture
def found(project) -> dict[Path, dict]:
    """Records that the graph made, as they may be kept."""
    return keep.collect(project / "_build/paper/runs", settings.read(project / "profiles/paper.yml"))


def test_the_graph_trains_in_bfloat16_and_its_records_are_kept(project, tmp_path):
    """`make paper` and `make keep`, for one variant."""
    made = project / "_build/paper/runs/mujoco/sum"
    record = json.loads((made / "seed-1.json").read_text())
    assert record["config"]["mixed_precision"] is True and record["config"]["algorithms"] == "fixed"
    assert record["provenance"]["profile"] == "paper"
    assert re.fullmatch("[0-9a-f]{10}", record["provenance"]["commit"])
    environment = os.environ | {"PYTHONPATH": str(project)}
    command = [sys.executable, "workflow/keep.py", "--out", str(tmp_path / "kept")]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"kept 2 runs of 1 variants in {tmp_path / 'kept'}, which holds 0.")
    kept = sorted(path.relative_to(tmp_path / "kept").as_posix() for path in (tmp_path / "kept").rglob("*.*"))
    assert kept == ["mujoco/sum/seed-0.json", "mujoco/sum/seed-1.json"]
    assert records.read(tmp_path / "kept/mujoco/sum/seed-1.json", runs.SCHEMA, runs.KEYS) == record
    assert (made / "seed-1.pt").is_file()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"provenance": {"profile": "smoke"}}, "was made with profile 'smoke'; only 'paper' is kept"),
        ({"provenance": {"commit": "0123456789-dirty"}}, "commit '0123456789-dirty'; wants a commit without changes"),
        ({"provenance": {"commit": "unknown"}}, "commit 'unknown'; wants a commit"),
        ({"provenance": {"source": ""}}, "does not say where it comes from: no source"),
        ({"provenance": {"device": "cuda"}}, "does not say where it comes from: no accelerator"),
        ({"provenance": {"source": "0" * 64}}, "its key does not follow from its content"),
        ({"config": {"learning_rate": 1}}, "its key does not follow from its content"),
        ({"seed": 3}, "holds seed 3 of 'sum' in 'mujoco', which does not belong there"),
        ({"variant": "concat"}, "holds seed 1 of 'concat' in 'mujoco', which does not belong there"),
        ({"schema": "run/1"}, "has schema 'run/1', wanted 'run/2'"),
    ],
)
def test_a_record_that_must_not_be_kept_is_named(project, tmp_path, change, said):
    """One line that names the file; nothing is written."""
    shutil.copytree(project / "_build/paper/runs/mujoco", tmp_path / "runs/mujoco")
    path = tmp_path / "runs/mujoco/sum/seed-1.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {k: record[k] | v if isinstance(v, dict) else v for k, v in change.items()}))
    with pytest.raises(SystemExit) as stopped:
        keep.main(
            [
                "--runs",
                str(tmp_path / "runs"),
                "--out",
                str(tmp_path / "kept"),
                "--profile",
                str(project / "profiles/paper.yml"),
            ]
        )
    assert said in stopped.value.code and str(path) in stopped.value.code and "\n" not in stopped.value.code
    assert not (tmp_path / "kept").exists()


def test_runs_of_a_smaller_scale_under_the_papers_name_are_refused(project):
    """The label alone makes no paper scale: the cut-down runs do not pass for those of the real profile."""
    with pytest.raises(
        keep.KeepError, match="not made with this profile's settings: .*size is 16, wanted 256.*epochs is 2"
    ):
        keep.collect(project / "_build/paper/runs", settings.read(ROOT / "profiles/paper.yml"))


def test_records_of_several_kinds_and_too_large_folders_are_refused(found, tmp_path, monkeypatch):
    """What is kept of one experiment is comparable, and stays small."""
    first, second = sorted(found)
    size = keep.keep({first: found[first]}, tmp_path)
    assert size == sum(path.stat().st_size for path in tmp_path.rglob("*.json"))
    other = found[second] | {"dataset": found[second]["dataset"] | {"digest": "other"}}
    with pytest.raises(keep.KeepError, match="mujoco: records of 2 kinds of data or source"):
        keep.keep({second: other}, tmp_path)
    assert not (tmp_path / second).exists()
    with pytest.raises(keep.KeepError, match="would hold 0.0 MiB, more than 0"):
        keep.keep(found, tmp_path, megabytes=0)

    def refuse(path, content):
        raise records.RecordError(f"cannot write {path}: disk full")

    with monkeypatch.context() as full:
        full.setattr(records, "write_bytes", refuse)
        with pytest.raises(records.RecordError):
            keep.keep({second: other}, tmp_path, replace=True)
    assert (tmp_path / first).is_file()  # nothing goes before everything new is written
    assert keep.keep({second: other}, tmp_path, replace=True) > 0
    assert (tmp_path / second).is_file() and not (tmp_path / first).exists()


def test_nothing_to_keep_and_unknown_experiments_are_named(project, tmp_path):
    """Before anything is read."""
    profile = settings.read(project / "profiles/paper.yml")
    with pytest.raises(keep.KeepError, match="no run records in .*; make them with: make paper"):
        keep.collect(tmp_path, profile)
    with pytest.raises(keep.KeepError, match="unknown experiments .'mujocco'.; there are fairness, mujoco"):
        keep.collect(project / "_build/paper/runs", profile, ["mujocco"])


def test_what_is_kept_here_is_sound_and_the_readme_tells_the_truth():
    """The committed records pass their own check, and the note says whether there are any."""
    folder = ROOT / "results/paper"
    kept = list(folder.rglob("*.json"))
    for path in kept:
        keep.check(
            records.read(path, runs.SCHEMA, runs.KEYS),
            path.relative_to(folder),
            settings.read(ROOT / "profiles/paper.yml"),
        )
    assert ("Nothing has been run at this scale yet" in (folder / "README.md").read_text()) == (not kept)
