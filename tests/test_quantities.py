"""Numbers per seed: each says what it says it says, and a diverged run has none."""

import math

import pytest

from mmfusion import quantities
from mmfusion.experiment import Experiment
from tests.made_up_runs import write_runs


def shape(variant, name, share):
    """Sum: the camera's encoder grows tenfold from the middle on, the sensor's is 3 times as large, gradients 7."""
    if variant != "sum":
        return 1.0
    return {"encoder/camera/lower": 10 ** max(0.0, 2 * share - 1), "encoder/sensor/lower": 3.0,
            "gradient/encoder/camera": 7.0, "gradient/encoder/sensor": 7.0}.get(name, 1.0)  # fmt: skip


@pytest.fixture
def experiment(tmp_path):
    write_runs(tmp_path, "try", ["sum", "attention"], shape=shape, speed={"attention": 2.0}, level={"sum": 5.0},
               jitter={"sum": 0.2, "attention": 0.2}, epochs=8, diverged={("sum", 3)})  # fmt: skip
    return Experiment.read(tmp_path, "try", ["sum", "attention"])


def middle(values):
    finite = sorted(v for v in values.values() if math.isfinite(v))
    return finite[len(finite) // 2]


def test_numbers_are_those_of_the_records(experiment):
    whole = quantities.constant(experiment, "sum")
    assert middle(whole) == pytest.approx(5, rel=0.15)
    assert middle(quantities.gradient(experiment, "sum", "encoder")) == pytest.approx(7, rel=0.15)
    assert middle(quantities.gradient(experiment, "sum", "decoder")) == pytest.approx(1, rel=0.15)
    assert middle(quantities.growth(experiment, "sum", "encoder/camera/lower")) == pytest.approx(1, abs=0.15)
    assert middle(quantities.growth(experiment, "attention", "encoder/camera/lower")) == pytest.approx(0, abs=0.15)
    early = quantities.growth(experiment, "sum", "encoder/camera/lower", 0.0, 0.5)
    assert middle(early) == pytest.approx(0, abs=0.15)
    names = quantities.parts(experiment, ["encoder"])
    assert names == ["encoder/camera/lower", "encoder/sensor/lower"]
    assert middle(quantities.largest(experiment, "sum", names)) == pytest.approx(50, rel=0.2)
    assert middle(quantities.geometric_mean(experiment, "sum", names)) == pytest.approx(math.sqrt(10 * 3) * 5, rel=0.2)
    spread = quantities.spread(experiment, "sum")
    assert max(v for v in spread.values() if math.isfinite(v)) == pytest.approx(0.4, rel=0.15)
    assert middle(quantities.later(experiment, "attention", "sum")) == pytest.approx(-4, abs=0.6)


def test_a_diverged_run_has_no_number(experiment):
    found = [
        quantities.constant(experiment, "sum"), quantities.final_loss(experiment, "sum"),
        quantities.spread(experiment, "sum"), quantities.later(experiment, "sum", "attention"),
        quantities.gradient(experiment, "sum", "encoder"), quantities.growth(experiment, "sum", "end_to_end/lower"),
        quantities.largest(experiment, "sum", quantities.parts(experiment)),
        quantities.climb(experiment, "sum"),
    ]  # fmt: skip
    for values in found:
        assert list(values) == list(experiment.seeds)
        assert [seed for seed, value in values.items() if math.isnan(value)] == [3]


def test_a_part_that_ignores_its_input_counts_as_dead(tmp_path):
    dead = {"encoder/camera/lower": 0.0, "gradient/encoder/camera": 0.0}

    def dies(variant, name, share):
        return dead.get(name, 1.0) if share > 0.6 else 1.0

    write_runs(tmp_path, "try", ["sum"], epochs=8, shape=dies)
    found = Experiment.read(tmp_path, "try", ["sum"])
    assert set(quantities.constant(found, "sum", "encoder/camera/lower").values()) == {quantities.DEAD}
    encoders = quantities.geometric_mean(found, "sum", quantities.parts(found, ["encoder"]))
    assert all(0 < v < 0.01 for v in encoders.values())
    assert all(-7 < v < -5 for v in quantities.growth(found, "sum", "encoder/camera/lower").values())
    assert all(0 < v < 1 for v in quantities.gradient(found, "sum", "encoder").values())
    assert quantities.silent(found, ["sum"]) == (6, 24)


def test_explained_is_one_minus_the_loss_in_its_unit(experiment):
    losses = quantities.final_loss(experiment, "attention", "camera")
    expected = {s: 1 - v for s, v in losses.items()}
    assert quantities.explained(experiment, "attention", "camera") == pytest.approx(expected)
    assert math.isnan(quantities.explained(experiment, "sum", "camera")[3])
    with pytest.raises(ValueError, match="unit of R²"):
        quantities.explained(experiment, "sum", "sound")


def test_falling_is_the_share_lost_in_the_last_quarter(experiment):
    assert quantities.falling(experiment, "sum") == pytest.approx(1 - math.exp(-0.2 * 3))


def test_climb_adds_what_goes_up(experiment):
    assert set(quantities.climb(experiment, "attention").values()) == {0.0}
    table = experiment.history
    rows = (table.variant == "attention") & (table.seed == 1) & (table.kind == "train") & (table.name == "total")
    table.loc[rows & (table.epoch % 2 == 1), "value"] *= 100  # up by two decades less the fall, four times
    assert quantities.climb(experiment, "attention")[1] == pytest.approx(4 * (2 - 0.4 * math.log10(math.e)))


@pytest.mark.parametrize("moments", [(0.5, 0.5), (-0.1, 1.0), (0.0, 1.1), (1.0, 0.0)])
def test_growth_wants_two_moments_in_order(experiment, moments):
    with pytest.raises(ValueError, match="growth wants"):
        quantities.growth(experiment, "sum", "end_to_end/lower", *moments)


def test_no_constant_named(experiment):
    with pytest.raises(ValueError, match="no constant of 'sum'"):
        quantities.largest(experiment, "sum", [])
