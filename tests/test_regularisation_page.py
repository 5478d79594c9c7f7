"""The page about the penalty's strength, on made-up runs whose outcome is known."""

import json
import math

import numpy as np
import pytest

from mmfusion import runs
from tests.made_up_runs import run_page, write_runs

# The page is under test here; the modules that it uses have tests, and coverage, of their own.
pytestmark = pytest.mark.no_cover

PAGE, NAME = "lipschitz/regularisation", "regularisation"
CLAIMS = ("A-S5.9", "A-S4.5.2c")
STRENGTHS = ["0", *(f"1e-{n}" for n in range(9, 0, -1)), "1"]
SOME = ["1e-6", "1e-5", "1e-4", "1e-2", "1"]
MATCHED = ["1e-5", "1e-3", "1e-1"]
VARIANTS = [
    *(f"lambda-{s}" for s in STRENGTHS), *(f"matched-{s}" for s in MATCHED), *(f"plain-{s}" for s in ["0", *SOME]),
    *(f"whole-{s}" for s in SOME),
]  # fmt: skip


def bears_out(kind, decades):
    """What the paper says: from 10^-6 on weights and constant fall, the latter settles; above 10^-4 the loss rises."""
    past = min(max(decades + 7, 0), 3) / 3
    return {
        "norm": 10 ** (-2 * past), "constant": 10 ** (-past), "rank": 10 ** (-0.1 * max(decades + 9, 0)),
        "loss": 1.0 if decades <= -4 else 3.0,
    }  # fmt: skip


def goes_against(kind, decades):
    """Weights grow, the constant rises and never settles, the best range costs loss, the rank grows."""
    past = max(decades + 9, 0) / 9
    return {"norm": 10**past, "constant": 10 ** (3 * past), "rank": 10**past, "loss": 1.0 + 2.0 * (-6 <= decades <= -4)}


def nothing_happens(kind, decades):
    return {"norm": 1.0, "constant": 1.0, "rank": 1.0, "loss": 1.0}


def write(folder, law, *, control=None, seeds=6, **options):
    """``law(kind, decades)`` gives the factors of a run; controls follow it too, or ``control``."""
    write_runs(folder, NAME, VARIANTS, seeds=seeds, **options)
    for path in sorted((folder / NAME).glob("*/seed-*.json")):
        record = json.loads(path.read_text())
        kind, _, text = record["variant"].partition("-")
        decades = math.log10(float(text)) if float(text) else -math.inf
        factors = (control or law)(kind, decades) if kind == "matched" else law(kind, decades)
        rng = np.random.default_rng([record["seed"], *record["variant"].encode()])
        record["config"] |= {
            "weight_l2": 0.0 if kind == "matched" else float(text),
            "penalise": "everything" if kind == "whole" and float(text) else "fusion",
        }
        for entry in record["history"]:
            noise = 10 ** (0.01 * rng.standard_normal(3))
            if "end_to_end/lower" in entry["measures"]:
                entry["measures"]["end_to_end/lower"] *= factors["constant"]
            entry["measures"] |= {
                "fusion/weights/norm": 16 * factors["norm"] * noise[0], "parameters/norm": 30 * factors["norm"],
                "fusion/weights/stable_rank": 9 * factors["rank"] * noise[1],
                "fusion/weights/spectral/0/camera": 4 * factors["norm"],
                "fusion/weights/spectral/1/sensor": factors["norm"],
            }  # fmt: skip
            for name in entry["test"]:
                entry["test"][name] *= factors["loss"] * noise[2]
        path.write_text(json.dumps(record))


def page(monkeypatch, tmp_path, **parameters):
    names, glued = run_page(
        monkeypatch, PAGE, runs=str(tmp_path), profile="smoke", paper_runs=str(tmp_path / "none"), **parameters
    )
    return names, glued, {claim: names["check"].verdict(claim).verdict for claim in CLAIMS}


def test_the_account_is_reproduced_where_the_runs_bear_it_out(tmp_path, monkeypatch):
    write(tmp_path, bears_out)
    names, glued, found = page(monkeypatch, tmp_path, records=str(tmp_path / "claims"))
    assert found == dict.fromkeys(CLAIMS, "reproduced")
    assert (tmp_path / "claims" / f"{PAGE}.json").is_file()
    assert glued["regularisation_whole_A-S5.9"] == glued["regularisation_plain_A-S5.9"] == "reproduced"
    # The controls do the same, so the penalty itself is left with nothing.
    assert all(glued[f"regularisation_pull_{q}"] == "in none of 3 strengths" for q in ("constant", "final", "stable"))
    assert glued["regularisation_sum_constant"] == glued["regularisation_step_constant"] == "in 3 of 3 strengths"
    assert glued["regularisation_gap_control"] < 1e-9 < 1 < glued["regularisation_gap_nothing"]
    assert glued["regularisation_seeds"] == 6 and glued["regularisation_all"] == 6 * len(VARIANTS)
    assert names["scales"].Note.__name__ == "Note"


def test_the_account_is_contradicted_where_they_go_the_other_way(tmp_path, monkeypatch):
    write(tmp_path, goes_against)
    names, _, found = page(monkeypatch, tmp_path)
    assert found == dict.fromkeys(CLAIMS, "contradicted")
    rows = [item for item in names["check"].items if item["claim"] == "A-S5.9"]
    against = [
        item["low"] > item["threshold"] if item["claimed"] == "below" else item["high"] < item["threshold"]
        for item in rows
    ]
    assert against == [True] * 6


def test_a_constant_that_does_not_fall_contradicts_and_equal_losses_do_not_decide(tmp_path, monkeypatch):
    write(tmp_path, nothing_happens)
    names, _, found = page(monkeypatch, tmp_path)
    assert found == {"A-S5.9": "contradicted", "A-S4.5.2c": "inconclusive"}
    fell = [c for c in names["decided"]["A-S5.9"] if "constant of the whole: weak" in c.question]
    assert [c.side() for c in fell] == ["below"]


def test_a_penalty_that_does_what_its_control_does_not_is_told_apart(tmp_path, monkeypatch):
    write(tmp_path, bears_out, control=lambda kind, decades: bears_out(kind, decades) | {"constant": 1.0, "rank": 9.0})
    _, glued, found = page(monkeypatch, tmp_path)
    assert found == dict.fromkeys(CLAIMS, "reproduced")
    assert glued["regularisation_pull_constant"] == glued["regularisation_pull_stable"] == "in 3 of 3 strengths"
    assert glued["regularisation_step_constant"] == glued["regularisation_pull_final"] == "in none of 3 strengths"


def test_dead_networks_have_a_constant_of_zero_and_count(tmp_path, monkeypatch):
    def dies(kind, decades):
        factors = bears_out(kind, decades)
        return factors | {"constant": 0.0} if kind in ("plain", "whole") and decades > -4 else factors

    write(tmp_path, dies)
    _, glued, found = page(monkeypatch, tmp_path)
    assert found["A-S5.9"] == "reproduced"
    assert float(glued["regularisation_whole_2"].split()[0]) > 1e4


def test_diverged_runs_leave_pairs_out(tmp_path, monkeypatch):
    write(tmp_path, bears_out, diverged={("lambda-1", 0), ("lambda-1e-3", 2)})
    names, glued, found = page(monkeypatch, tmp_path)
    assert glued["regularisation_diverged"] == 2
    assert found["A-S5.9"] == "inconclusive"
    assert {c.n for c in names["decided"]["A-S5.9"]} == {4, 6}


def test_fewer_than_five_seeds_decide_nothing(tmp_path, monkeypatch):
    write(tmp_path, bears_out, seeds=3)
    assert page(monkeypatch, tmp_path)[2] == dict.fromkeys(CLAIMS, "inconclusive")


def test_missing_and_bare_records_are_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no run records of lambda-0, lambda-1e-9"):
        page(monkeypatch, tmp_path)
    write(tmp_path, bears_out)
    for path in (tmp_path / NAME / "matched-1e-3").glob("*.json"):
        path.unlink()
    with pytest.raises(ValueError, match="no run records of matched-1e-3"):
        page(monkeypatch, tmp_path)
    write_runs(tmp_path, NAME, VARIANTS)
    with pytest.raises(ValueError, match="lack the norms of the weights; train again"):
        page(monkeypatch, tmp_path)


def test_records_of_different_settings_are_not_mixed(tmp_path, monkeypatch):
    write(tmp_path, bears_out)
    path = runs.record_path(tmp_path, NAME, "lambda-1", 2)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"config": record["config"] | {"epochs": 7}}))
    with pytest.raises(ValueError, match="2 settings"):
        page(monkeypatch, tmp_path)


def test_runs_at_paper_scale_stand_beside(tmp_path, monkeypatch):
    write(tmp_path / "small", bears_out)
    write(tmp_path / "large", goes_against, profile="paper")
    parameters = {"runs": str(tmp_path / "small"), "profile": "smoke", "paper_runs": str(tmp_path / "large")}
    names, glued = run_page(monkeypatch, PAGE, **parameters)
    assert names["check"].verdict("A-S5.9").verdict == "reproduced"
    assert names["at_scale"].facts()["profile"] == "paper"
