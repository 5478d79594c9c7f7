"""The results page on made-up runs whose outcome is known: its verdicts follow the data, and bad input stops it."""

import contextlib
import itertools
import json
import sys
import types
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import numpy as np
import pytest

from mmfusion import fusion as operators
from mmfusion import plotting, runs

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "notebooks" / "lipschitz" / "results-mujoco.md"
CLAIMS = ("A-S5.5", "A-S5.4a", "A-S5.4b", "A-S3.3enc", "A-ABS")
SPEED = {"attention": 3.0, "attention-original": 3.0}


def history(fusion, seed, attention_wins):
    """Losses that fall geometrically, constants that rise to a level; attention ahead, or behind, by a wide margin."""
    noise = np.random.default_rng([seed, sorted(operators.FUSIONS).index(fusion)])
    better = SPEED.get(fusion, 1.0) if attention_wins else 1 / SPEED.get(fusion, 1.0)
    jitter = {"sum": 0.1, "concat": 0.04}.get(fusion, 0.01 if attention_wins else 0.12)
    factor = 10 ** (jitter * (-1) ** seed * (1 + 0.1 * noise.random()))
    constants = {"attention": 0.01, "attention-original": 0.01, "attention-scaled": 1.0, "attention-regularised": 1.0,
                 "attention-plain": 10.0}  # fmt: skip
    level = constants.get(fusion, 1.0) if attention_wins else 1.0 / constants.get(fusion, 1.0)
    entries = []
    for epoch in range(7):
        loss = factor * np.exp(-0.2 * better * epoch)
        measures = {}
        if epoch % 2 == 0:
            value = level * 10 ** (0.05 * noise.standard_normal())
            tilt = 3.0 if attention_wins else 1 / 3
            measures = {"end_to_end/lower": value, "end_to_end/upper": 50 * value, "product/lower": 2 * value}
            for name in ("camera", "sensor"):
                gradient = 10 ** (0.02 * noise.standard_normal())
                measures |= {f"gradient/encoder/{name}": tilt * gradient, f"gradient/decoder/{name}": 1.0}
                measures |= {f"{part}/{name}/lower": value for part in ("encoder", "decoder")}
        losses = {"camera": 0.2 * loss, "sensor": 0.8 * loss, "total": loss}
        entries.append({"epoch": epoch, "train": losses, "test": losses, "measures": measures})
    return entries


def write_runs(folder, seeds=6, attention_wins=True, diverged=()):
    for fusion, seed in itertools.product(operators.FUSIONS, range(seeds)):
        broke = (fusion, seed) in diverged
        record = {
            "schema": runs.SCHEMA, "fusion": fusion, "seed": seed, "key": "k", "parameters": 1,
            "dataset": {"name": "pick-and-place", "digest": "d" * 64, "frames": 9, "size": 16, "seed": 0},
            "status": "diverged" if broke else "finished", "diverged_at": 2 if broke else None,
            "config": {"epochs": 6, "latent": 8, "samples": {"train": 9, "test": 3}, "fusion_options": {}},
            "history": history(fusion, seed, attention_wins)[: 2 if broke else None],
            "provenance": {"profile": "smoke", "dataset_digest": "d" * 64, "device": "cpu", "commit": "c"},
        }  # fmt: skip
        path = runs.record_path(folder, "pick-and-place", fusion, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))


@contextlib.contextmanager
def bench(monkeypatch):
    glue = types.ModuleType("myst_nb")
    glued = {}
    glue.glue = lambda name, value, display=True: glued.__setitem__(name, value)
    monkeypatch.setitem(sys.modules, "myst_nb", glue)
    monkeypatch.setattr(plotting, "publish", lambda figure, *_, **__: plt.close(figure))
    monkeypatch.setattr(plotting, "table", lambda *_, **__: None)
    yield glued
    plt.close("all")


def execute(monkeypatch, folder, records=None):
    names = {"__name__": "__main__"}
    with bench(monkeypatch) as glued:
        for cell in jupytext.reads(PAGE.read_text(encoding="utf-8"), fmt="md:myst").cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, PAGE.name, "exec"), names)
                if "parameters" in cell.metadata.get("tags", ()):
                    names |= {"runs": str(folder), "profile": "smoke", "records": records}
    return names["check"], glued


def verdicts(check):
    return {claim: check.verdict(claim).verdict for claim in CLAIMS}


def test_claims_are_reproduced_where_the_runs_bear_them_out(tmp_path, monkeypatch):
    write_runs(tmp_path)
    check, glued = execute(monkeypatch, tmp_path, records=tmp_path / "claims")
    assert verdicts(check) == dict.fromkeys(CLAIMS, "reproduced")
    assert (tmp_path / "claims" / "lipschitz" / "results-mujoco.json").is_file()
    assert glued["results_A-ABS"] == glued["results_other_A-ABS"] == "reproduced"
    assert glued["results_seeds"] == 6 and glued["results_diverged"] == 0


def test_claims_are_contradicted_where_the_runs_go_the_other_way(tmp_path, monkeypatch):
    write_runs(tmp_path, attention_wins=False)
    found = verdicts(execute(monkeypatch, tmp_path)[0])
    assert {claim for claim in CLAIMS if found[claim] == "contradicted"} == set(CLAIMS) - {"A-S5.4b"}


def test_diverged_runs_are_counted_and_leave_too_few_pairs(tmp_path, monkeypatch):
    write_runs(tmp_path, diverged={("attention", 0), ("attention", 2), ("sum", 1)})
    check, glued = execute(monkeypatch, tmp_path)
    found = verdicts(check)
    assert glued["results_diverged"] == 3
    assert found["A-ABS"] == found["A-S5.5"] == "inconclusive"
    assert {item["n"] for item in check.items if item["claim"] == "A-ABS"} == {3, 4}


def test_fewer_than_five_seeds_decide_nothing(tmp_path, monkeypatch):
    write_runs(tmp_path, seeds=3)
    assert verdicts(execute(monkeypatch, tmp_path)[0]) == dict.fromkeys(CLAIMS, "inconclusive")


def test_missing_records_are_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no run records of sum, concat"):
        execute(monkeypatch, tmp_path)
    write_runs(tmp_path)
    for path in (tmp_path / "pick-and-place" / "concat-matched").glob("*.json"):
        path.unlink()
    with pytest.raises(ValueError, match="no run records of concat-matched on 'pick-and-place'"):
        execute(monkeypatch, tmp_path)


def test_records_of_different_settings_are_not_mixed(tmp_path, monkeypatch):
    write_runs(tmp_path)
    path = runs.record_path(tmp_path, "pick-and-place", "sum", 2)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"config": record["config"] | {"epochs": 7}}))
    with pytest.raises(ValueError, match="2 settings"):
        execute(monkeypatch, tmp_path)
