"""The fairness page on made-up runs whose outcome is known: its answer follows the data, whichever it is."""

import itertools
import json
import math

import pytest

from mmfusion import runs, scales
from tests.made_up_runs import run_page, write_runs

# The page is under test here; the modules that it uses have tests, and coverage, of their own.
pytestmark = pytest.mark.no_cover

RATES = ("3e-4", "1e-3", "3e-3")
ATTENTION = ("attention", "attention-original")
PLAIN = ("sum", "concat")
CONTROLS = ("sum-scaled", "concat-scaled", "concat-matched", "sum-wide", "concat-scalar", "concat-scalars")
FUSIONS = (*PLAIN, *CONTROLS, *ATTENTION)


def write(folder, *, speed=None, level=None, jitter=None, **options):
    """Runs of every fusion at every rate; numbers by fusion, or by (fusion, rate) where the rate matters."""

    def spell(numbers):
        numbers = numbers or {}
        return {
            f"{f}-lr-{r}": numbers.get((f, r), numbers[f]) for f, r in itertools.product(FUSIONS, RATES)
            if f in numbers or (f, r) in numbers
        }  # fmt: skip

    variants = [f"{f}-lr-{r}" for f, r in itertools.product(FUSIONS, RATES)]
    numbers = {"speed": spell(speed), "level": spell(level), "jitter": spell(jitter)}
    write_runs(folder, "fairness", variants, **numbers, **options)


def win(folder, **options):
    """Attention ahead of all others in everything."""
    write(
        folder,
        speed={**dict.fromkeys(ATTENTION, 3.0), **options.pop("speed", {})},
        level=dict.fromkeys(ATTENTION, 0.01),
        jitter={**dict.fromkeys(FUSIONS, 0.1), **dict.fromkeys(ATTENTION, 0.01)},
        **options,
    )


def page(monkeypatch, folder, **options):
    names, glued = run_page(
        monkeypatch, "lipschitz/fairness", runs=str(folder), profile="smoke",
        **{"paper_runs": str(folder / "none"), **options},
    )  # fmt: skip
    return names, glued, {claim: names["check"].verdict(claim).verdict for claim in ("A-FAIR", "A-ABS")}


def test_an_advantage_that_survives_everything(tmp_path, monkeypatch):
    win(tmp_path)
    names, glued, found = page(monkeypatch, tmp_path, records=str(tmp_path / "claims"))
    assert found == {"A-FAIR": "reproduced", "A-ABS": "reproduced"}
    assert glued["fairness_other_A-FAIR"] == "reproduced"
    assert glued["fairness_answer"] == "The lower loss survives; the lower Lipschitz constant survives"
    assert glued["fairness_loss"] == "its test loss is lower than that of every control"
    assert {item["n"] for item in names["check"].items} == {6}
    assert len([item for item in names["check"].items if item["claim"] == "A-FAIR"]) == 2 * len(CONTROLS)
    assert (tmp_path / "claims" / "lipschitz" / "fairness.json").is_file()


def test_an_advantage_that_was_never_there(tmp_path, monkeypatch):
    write(
        tmp_path, speed=dict.fromkeys(ATTENTION, 0.3), level=dict.fromkeys(ATTENTION, 30.0),
        jitter=dict.fromkeys(ATTENTION, 0.1),
    )  # fmt: skip
    _, glued, found = page(monkeypatch, tmp_path)
    assert found == {"A-FAIR": "contradicted", "A-ABS": "contradicted"}
    assert glued["fairness_answer"] == "The loss is higher, not lower; the Lipschitz constant is higher, not lower"
    assert glued["fairness_constant"] == "its Lipschitz constant is higher than that of every control"


def test_a_lower_constant_without_a_lower_loss(tmp_path, monkeypatch):
    write(tmp_path, speed=dict.fromkeys(ATTENTION, 0.3), level=dict.fromkeys(ATTENTION, 0.01))
    _, glued, found = page(monkeypatch, tmp_path)
    assert glued["fairness_answer"] == "The loss is higher, not lower; the lower Lipschitz constant survives"
    assert found["A-FAIR"] == "contradicted"


@pytest.mark.parametrize("control", CONTROLS)
def test_one_control_that_does_as_well_is_enough(tmp_path, monkeypatch, control):
    win(tmp_path, speed={control: 4.0})
    _, glued, found = page(monkeypatch, tmp_path)
    assert found["A-FAIR"] == "contradicted"
    named = control in ("concat-matched", "sum-scaled", "concat-scaled")
    assert found["A-ABS"] == ("contradicted" if named else "reproduced")
    assert glued["fairness_answer"] == "The lower loss does not survive; the lower Lipschitz constant survives"
    assert "higher than that of 1 of 6 controls and lower than that of 5 of 6" in glued["fairness_loss"]


def test_an_advantage_that_was_the_learning_rate(tmp_path, monkeypatch):
    """At the common rate attention is far ahead; the others only wanted a larger one."""
    others = (*PLAIN, *CONTROLS)
    win(tmp_path, speed={**dict.fromkeys(others, 1.0), **{(fusion, "3e-3"): 5.0 for fusion in others}})
    names, glued, found = page(monkeypatch, tmp_path)
    assert names["advantage"]["final test loss"]
    assert found["A-FAIR"] == "contradicted"
    assert glued["fairness_answer"].startswith("The lower loss does not survive")
    assert set(names["tuned"].rate["concat"].values()) == {"3e-3"}
    assert glued["fairness_gain_most"] > 0.4 and abs(glued["fairness_gain_attention"]) < 0.01


def edit(folder, variant, seed, change):
    path = runs.record_path(folder, "fairness", variant, seed)
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_rates_are_chosen_without_the_judged_seed(tmp_path, monkeypatch):
    win(tmp_path, speed={("concat", "3e-3"): 0.9, ("concat", "3e-4"): 0.5, "concat": 1.0})

    def lucky(record):
        record["history"][-1]["test"]["total"] = 1e-3

    edit(tmp_path, "concat-lr-3e-3", 2, lucky)
    names, glued, _ = page(monkeypatch, tmp_path)
    tuned = names["tuned"]
    assert tuned.rate["concat"][2] == "1e-3"
    assert tuned.loss("concat")[2] > 0.1
    assert {tuned.rate["concat"][seed] for seed in (0, 1, 3, 4, 5)} == {"3e-3"}
    assert glued["fairness_optimism"] > 0.1


def test_explained_variance_is_of_each_modality_in_its_own_unit(tmp_path, monkeypatch):
    win(tmp_path)
    for variant in (f"{f}-lr-{r}" for f, r in itertools.product(FUSIONS, RATES)):
        for seed in range(6):
            edit(tmp_path, variant, seed, lambda record: record["baseline"].update(camera=0.5))
    names, *_ = page(monkeypatch, tmp_path)
    tuned = names["tuned"]
    for seed, value in tuned.explained("concat", "camera").items():
        assert value == pytest.approx(1 - tuned.loss("concat", "camera")[seed] / 0.5)
        assert tuned.explained("concat", "sensor")[seed] == pytest.approx(1 - tuned.loss("concat", "sensor")[seed])


def test_dead_networks_are_counted_and_break_nothing(tmp_path, monkeypatch):
    win(tmp_path)

    def die(record):
        record["history"][-1]["measures"]["end_to_end/lower"] = 0.0

    for seed in (1, 4):
        edit(tmp_path, "attention-lr-1e-3", seed, die)
    _, glued, _ = page(monkeypatch, tmp_path)
    assert (glued["fairness_dead"], glued["fairness_dead_of"]) == (2, 18)


def test_diverged_runs_are_left_out_and_counted(tmp_path, monkeypatch):
    lost = {("attention-lr-" + rate, seed) for rate in RATES for seed in (0, 2)}
    win(tmp_path, diverged=lost)
    names, glued, found = page(monkeypatch, tmp_path)
    assert glued["fairness_diverged"] == 6
    assert found == {"A-FAIR": "inconclusive", "A-ABS": "inconclusive"}
    assert {item["n"] for item in names["check"].items} == {4}
    assert all(math.isnan(names["tuned"].loss("attention")[seed]) for seed in (0, 2))


def test_fewer_than_five_seeds_decide_nothing(tmp_path, monkeypatch):
    win(tmp_path, seeds=3)
    _, glued, found = page(monkeypatch, tmp_path)
    assert found == {"A-FAIR": "inconclusive", "A-ABS": "inconclusive"}
    assert glued["fairness_loss"] == "its test loss is not told apart from that of any control"
    assert glued["fairness_answer"].startswith("No advantage of attention is established")


def test_paper_scale_is_shown_beside_and_not_mixed_in(tmp_path, monkeypatch):
    win(tmp_path / "quick")
    write(tmp_path / "paper", speed=dict.fromkeys(ATTENTION, 0.3), seeds=7, profile="paper")
    shown, kept = [], scales.beside
    monkeypatch.setattr(scales, "beside", lambda *args, **options: shown.append(kept(*args, **options)))
    _, glued, found = page(monkeypatch, tmp_path / "quick", paper_runs=str(tmp_path / "paper"))
    assert found["A-FAIR"] == "reproduced" and glued["fairness_seeds"] == 6
    small, large = shown[0].frame.iloc[:, 1], shown[0].frame.iloc[:, 2]
    assert all("n = 6" in text for text in small) and all("n = 7" in text for text in large)
    assert float(small[0].split()[0]) > 1 > float(large[0].split()[0])
    page(monkeypatch, tmp_path / "quick")
    page(monkeypatch, tmp_path / "paper", paper_runs=str(tmp_path / "paper"))
    assert [note.text for note in shown[1:]] == [
        "Not yet run at paper scale.",
        "The numbers on this page are at paper scale.",
    ]


def test_bad_records_stop_the_page(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no run records of sum-lr-1e-3, concat-lr-1e-3"):
        page(monkeypatch, tmp_path)
    win(tmp_path)
    edit(tmp_path, "sum-lr-3e-4", 0, lambda record: record.pop("baseline"))
    with pytest.raises(ValueError, match="lack the unit of R²; train again"):
        page(monkeypatch, tmp_path)
    win(tmp_path)
    edit(tmp_path, "sum-lr-3e-4", 2, lambda record: record["config"].update(epochs=7))
    with pytest.raises(ValueError, match="2 settings"):
        page(monkeypatch, tmp_path)
    for path in (tmp_path / "fairness" / "concat-matched-lr-3e-3").glob("*.json"):
        path.unlink()
    with pytest.raises(ValueError, match="no run records of concat-matched-lr-3e-3"):
        page(monkeypatch, tmp_path)
