"""The RoboMNIST page on made-up runs whose outcome is known: verdicts follow the runs, tables the printed numbers."""

import json

import numpy as np
import pytest

from mmfusion import runs
from mmfusion.data import catalogue
from mmfusion.data.dataset import MultimodalDataset
from tests.made_up_runs import run_page, write_runs

# The page is under test here; the modules that it uses have tests, and coverage, of their own.
pytestmark = pytest.mark.no_cover

PAGE = "lipschitz/results-robomnist"
CLAIMS = ("A-S5.8", "A-S5.8L", "A-S5.8third")
VARIANTS = ("sum", "concat", "attention", "concat-scaled")
EXPERIMENTS = {"robomnist-bimodal": ("camera", "sensor"), "robomnist-trimodal": ("camera", "sensor", "signal")}
# Half as fast with two modalities: the third then helps the other two.
SLOWER = {"robomnist-bimodal": 0.5, "robomnist-trimodal": 1.0}


def made_up(folder, *, attention=3.0, constant=0.1, slower=SLOWER, **options):
    """Runs of both experiments; ``attention`` is its speed, ``constant`` its level, others have 1 and 1."""
    for name, modalities in EXPERIMENTS.items():
        speed = {v: slower[name] * (attention if v == "attention" else 1.0) for v in VARIANTS}
        write_runs(
            folder, name, VARIANTS, modalities=modalities, speed=speed, level={"attention": constant}, weights=True,
            **options,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def dataset(monkeypatch):
    rng = np.random.default_rng(0)
    found = MultimodalDataset(
        modalities={
            "camera": rng.integers(0, 255, (12, 8, 8, 3), dtype=np.uint8),
            "sensor": rng.normal(size=(12, 3, 2)).astype(np.float32),
            "signal": rng.normal(size=(12, 2, 2)).astype(np.float32),
        },
        episode=np.repeat(np.arange(4), 3), channels={"sensor": ("a", "b"), "signal": ("u", "v")}, digest="d" * 64,
        parameters={},
    )  # fmt: skip
    monkeypatch.setattr(catalogue, "load", lambda *_, **__: found)


def execute(monkeypatch, folder, **parameters):
    parameters = {"paper_runs": str(folder / "paper"), **parameters}
    return run_page(monkeypatch, PAGE, runs=str(folder), profile="smoke", **parameters)


def verdicts(names):
    return {claim: names["check"].verdict(claim).verdict for claim in CLAIMS}


def test_claims_are_reproduced_where_the_runs_bear_them_out(tmp_path, monkeypatch):
    made_up(tmp_path)
    names, glued = execute(monkeypatch, tmp_path, records=tmp_path / "claims")
    assert verdicts(names) == dict.fromkeys(CLAIMS, "reproduced")
    assert (tmp_path / "claims" / "lipschitz" / "results-robomnist.json").is_file()
    assert glued["robomnist_A-S5.8"] == glued["robomnist_third_concat"] == "reproduced"
    assert glued["robomnist_seeds"] == 6 and glued["robomnist_diverged"] == 0
    assert glued["robomnist_tally"] == "attention's loss is lower in 28 of 28 comparisons"
    assert glued["robomnist_tally_parts"] == "attention's constant is lower in 12 of 12 comparisons"
    counts = {claim: sum(item["claim"] == claim for item in names["check"].items) for claim in CLAIMS}
    assert counts == {"A-S5.8": 28, "A-S5.8L": 14, "A-S5.8third": 2}


def test_claims_are_contradicted_where_the_runs_go_the_other_way(tmp_path, monkeypatch):
    made_up(tmp_path, attention=0.3, constant=10.0, slower={name: 1 / s for name, s in SLOWER.items()})
    names, glued = execute(monkeypatch, tmp_path)
    assert verdicts(names) == dict.fromkeys(CLAIMS, "contradicted")
    assert glued["robomnist_tally"].endswith("the reverse in 28")
    assert glued["robomnist_third_sum"] == "contradicted"


def test_lower_but_not_substantially(tmp_path, monkeypatch):
    made_up(tmp_path, constant=1 / 1.5)
    names, glued = execute(monkeypatch, tmp_path)
    assert verdicts(names)["A-S5.8L"] == "contradicted"
    assert glued["robomnist_tally_parts"] == "attention's constant is lower in 12 of 12 comparisons"


def test_a_single_modality_where_attention_is_behind_decides(tmp_path, monkeypatch):
    made_up(tmp_path)
    for path in (tmp_path / "robomnist-trimodal" / "attention").glob("*.json"):
        record = json.loads(path.read_text())
        record["history"][-1]["test"]["signal"] *= 100
        path.write_text(json.dumps(record))
    names, glued = execute(monkeypatch, tmp_path)
    assert verdicts(names)["A-S5.8"] == "contradicted"
    assert glued["robomnist_tally"] == "attention's loss is lower in 26 of 28 comparisons, the reverse in 2"


def test_diverged_runs_are_counted_and_fewer_than_five_pairs_decide_nothing(tmp_path, monkeypatch):
    made_up(tmp_path, diverged={("attention", 0), ("attention", 2)})
    names, glued = execute(monkeypatch, tmp_path)
    assert verdicts(names) == dict.fromkeys(CLAIMS, "inconclusive")
    assert glued["robomnist_diverged"] == 4 and glued["robomnist_shown_seed"] == 1
    assert {item["n"] for item in names["check"].items} == {4}


def test_the_paper_s_numbers_stand_beside_ours(tmp_path, monkeypatch):
    made_up(tmp_path)
    names, _ = execute(monkeypatch, tmp_path)
    frame = names["beside"](names["two"])
    assert len(frame) == 9 and len(names["beside"](names["three"])) == 12
    row = frame[(frame.modality == "sensor") & (frame.fusion == "attention")].iloc[0]
    assert row["testing: RoboMNIST (paper, n = 10)"] == "2.199 ± 0.087"
    ends = np.array(list(names["two"].at_end("attention", "test", "sensor").values()))
    assert row["testing: made-up (n = 6)"] == f"{100 * ends.mean():.3f} ± {100 * ends.std(ddof=1):.3f}"
    assert row["R², testing: made-up"] == f"{1 - ends.mean():.3f}" and row["R², testing: RoboMNIST"] == "≈ 0.978"
    image = frame[(frame.modality == "image") & (frame.fusion == "sum")].iloc[0]
    assert image["R², testing: RoboMNIST"] == "–"
    assert "Table 1 of paper A" in names["caption"](names["two"])
    ratio, low, high = names["printed_ratio"]("sensor", "sum")
    assert ratio == pytest.approx(44.452 / 25.728) and 1 < low < ratio < high


def test_records_at_paper_scale_have_a_column_of_their_own(tmp_path, monkeypatch):
    made_up(tmp_path)
    names, _ = execute(monkeypatch, tmp_path)
    plain = set(names["beside"](names["two"]).columns)
    write_runs(tmp_path / "paper", "robomnist-bimodal", VARIANTS, seeds=7, speed={"attention": 0.2}, profile="paper")
    names, _ = execute(monkeypatch, tmp_path)
    added = set(names["beside"](names["two"]).columns) - plain
    assert added == {f"{block}: made-up, paper scale (n = 7)" for block in ("training", "testing")}
    assert set(names["beside"](names["three"]).columns).isdisjoint(added)
    assert verdicts(names)["A-S5.8"] == "reproduced"
    assert {item["n"] for item in names["check"].items} == {6}


@pytest.mark.parametrize(("name", "words"), [("digit-writing", "our stand-in"), ("robomnist", "as published")])
def test_the_evidence_says_on_which_data(tmp_path, monkeypatch, name, words):
    made_up(tmp_path, dataset={"name": name, "digest": "d" * 64, "frames": 12, "size": 8, "seed": 0}, seeds=2)
    names, glued = execute(monkeypatch, tmp_path)
    assert all(words in item["data"] for item in names["check"].items)
    assert words in glued["robomnist_data"]


def test_what_does_not_belong_together_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no run records of sum, concat"):
        execute(monkeypatch, tmp_path)
    made_up(tmp_path, seeds=2)
    with pytest.raises(ValueError, match="one modality more in 'robomnist-bimodal' than in 'robomnist-bimodal'"):
        execute(monkeypatch, tmp_path, experiment_three="robomnist-bimodal")
    for path in (tmp_path / "robomnist-trimodal").rglob("*.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"config": record["config"] | {"epochs": 7}}))
    with pytest.raises(ValueError, match="differ in data or settings"):
        execute(monkeypatch, tmp_path)
    made_up(tmp_path, seeds=2)
    path = runs.record_path(tmp_path, "robomnist-trimodal", "sum", 0, "pt")
    path.unlink()
    with pytest.raises(ValueError, match="no weights at"):
        execute(monkeypatch, tmp_path)
