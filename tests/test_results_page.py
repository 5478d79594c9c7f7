"""The results page on made-up runs whose outcome is known: its verdicts follow the data, and bad input stops it."""

import json

import pytest

from mmfusion import runs
from tests.made_up_runs import run_page, write_runs

# The page is under test here; the modules that it uses have tests, and coverage, of their own.
pytestmark = pytest.mark.no_cover

PAGE = "lipschitz/results-mujoco"
CLAIMS = ("A-S5.4a", "A-S5.4b", "A-S3.3enc", "A-ABS")
MAIN = ["sum", "concat", "attention"]
FUSIONS = [
    *MAIN, "attention-plain", "attention-scaled", "attention-regularised", "attention-original", "sum-scaled",
    "concat-scaled", "concat-matched",
]  # fmt: skip
ATTENTIONS = ("attention", "attention-original")


def write(folder, attention_wins=True, **options):
    """All claims hold, or the outcome is turned around."""
    turn = 1 if attention_wins else -1
    level = {"attention": 0.01, "attention-original": 0.01, "attention-plain": 10.0}
    tilt = 3.0**turn

    def shape(variant, name, share):
        return tilt if name.startswith("gradient/encoder") else 1.0

    write_runs(
        folder, "mujoco", FUSIONS, shape=shape, level={fusion: value**turn for fusion, value in level.items()},
        speed=dict.fromkeys(ATTENTIONS, 3.0**turn),
        jitter={"sum": 0.1, "concat": 0.04, **dict.fromkeys(ATTENTIONS, 0.01 if attention_wins else 0.12)}, **options,
    )  # fmt: skip


def execute(monkeypatch, folder, **options):
    names, glued = run_page(monkeypatch, PAGE, runs=str(folder), profile="smoke", **options)
    return names["check"], glued


def verdicts(check):
    return {claim: check.verdict(claim).verdict for claim in CLAIMS}


@pytest.mark.parametrize("modalities", [("camera", "sensor"), ("camera", "sensor", "signal")], ids=["two", "three"])
def test_claims_are_reproduced_where_the_runs_bear_them_out(tmp_path, monkeypatch, modalities):
    write(tmp_path, modalities=modalities)
    check, glued = execute(monkeypatch, tmp_path, records=tmp_path / "claims")
    assert verdicts(check) == dict.fromkeys(CLAIMS, "reproduced")
    assert {item["claim"] for item in check.items} == set(CLAIMS)
    assert (tmp_path / "claims" / "lipschitz" / "results-mujoco.json").is_file()
    assert glued["results_A-ABS"] == glued["results_other_A-ABS"] == "reproduced"
    assert float(glued["results_whole_sum"].split()[0]) == pytest.approx(100, rel=0.05)
    assert glued["results_seeds"] == 6 and glued["results_diverged"] == 0


def test_claims_are_contradicted_where_the_runs_go_the_other_way(tmp_path, monkeypatch):
    write(tmp_path, attention_wins=False)
    found = verdicts(execute(monkeypatch, tmp_path)[0])
    assert {claim for claim in CLAIMS if found[claim] == "contradicted"} == set(CLAIMS) - {"A-S5.4b"}


def test_diverged_runs_are_counted_and_leave_too_few_pairs(tmp_path, monkeypatch):
    write(tmp_path, diverged={("attention", 0), ("attention", 2), ("sum", 1)})
    check, glued = execute(monkeypatch, tmp_path)
    assert glued["results_diverged"] == 3
    assert verdicts(check)["A-ABS"] == "inconclusive"
    assert {item["n"] for item in check.items if item["claim"] == "A-ABS"} == {3, 4}


def test_fewer_than_five_seeds_decide_nothing(tmp_path, monkeypatch):
    write(tmp_path, seeds=3)
    assert verdicts(execute(monkeypatch, tmp_path)[0]) == dict.fromkeys(CLAIMS, "inconclusive")


def test_missing_records_are_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no run records of sum, concat"):
        execute(monkeypatch, tmp_path)
    write(tmp_path)
    for path in (tmp_path / "mujoco" / "concat-matched").glob("*.json"):
        path.unlink()
    with pytest.raises(ValueError, match="no run records of concat-matched in experiment 'mujoco'"):
        execute(monkeypatch, tmp_path)


def test_records_of_different_settings_are_not_mixed(tmp_path, monkeypatch):
    write(tmp_path)
    path = runs.record_path(tmp_path, "mujoco", "sum", 2)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"config": record["config"] | {"epochs": 7}}))
    with pytest.raises(ValueError, match="2 settings"):
        execute(monkeypatch, tmp_path)


def test_records_at_paper_scale_are_shown_beside_and_decide_nothing(tmp_path, monkeypatch):
    write(tmp_path / "here")
    write(tmp_path / "paper", attention_wins=False, profile="paper")
    check, _ = execute(monkeypatch, tmp_path / "here", paper_runs=str(tmp_path / "paper"))
    assert verdicts(check) == dict.fromkeys(CLAIMS, "reproduced")
