"""The control that follows another run's weight norms: it does follow them, and changes nothing else."""

import copy
import math

import pytest
import torch

from mmfusion import matched, runs
from mmfusion.measure.weights import measure_weights
from mmfusion.training import Settings

DATASET = {"name": "toy", "digest": "abc"}
SMALL = {"channels": (3, 2), "widths": (5,), "progress": False}
SPECTRAL = "fusion/weights/spectral/"


def samples(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        "camera": torch.rand(count, 3, 16, 16, generator=generator),
        "sensor": torch.randn(count, 6, generator=generator),
    }


def options(**changes):
    return Settings(**{"epochs": 4, "batch_size": 8, "measure_every": 1, "learning_rate": 0.01} | changes)


def run(fusion="attention", settings=None, **keywords):
    watch = keywords.pop("watch", lambda net, epoch: measure_weights(net))
    return runs.run(
        DATASET, samples(20, 0), samples(8, 1), fusion, 0, settings or options(), watch=watch, **SMALL, **keywords
    )


@pytest.fixture(scope="module")
def penalised():
    return run(settings=options(weight_l2=1.0), variant="lambda-1")


def follow(record, **changes):
    return matched.Follow(record, changes.pop("fusion", "attention"), options(**changes), changes.get("digest", "abc"))


def norms(record):
    """By epoch, those of the matrices."""
    return {
        entry["epoch"]: {k: v for k, v in entry["measures"].items() if k.startswith(SPECTRAL)}
        for entry in record["history"]
    }


def test_the_norms_follow_and_without_the_hook_they_do_not(penalised):
    hook = follow(penalised)
    control = run(adjust=hook, adjusted=hook.description, variant="matched-1")
    free = run(variant="lambda-0")
    for epoch, wanted in norms(penalised).items():
        assert norms(control)[epoch] == pytest.approx(wanted, rel=1e-4)
        if epoch > 0:
            assert norms(free)[epoch] != pytest.approx(wanted, rel=0.1)
    assert control["config"]["weight_l2"] == 0.0
    assert control["config"]["adjusted"]["matched_to"] == "lambda-1"


def test_a_run_that_follows_itself_stays_what_it_is():
    first = run()
    hook = follow(first)
    seen = []

    def adjust(net, epochs):
        """Ask the hook what it would do at the ends of epochs, and undo it."""
        weights = net.fusion.score_maps.weights
        before = [weight.clone() for weight in weights]
        hook(net, epochs)
        if epochs == round(epochs):
            seen.append(max(float((new / old - 1).abs().max()) for new, old in zip(weights, before, strict=True)))
        for weight, old in zip(weights, before, strict=True):
            weight.copy_(old)

    run(adjust=adjust, adjusted={"nothing": True})
    assert len(seen) == 4 and max(seen) < 1e-4


def test_a_run_that_diverges_ends_as_one(penalised):
    hook = follow(penalised, learning_rate=0.01)

    def adjust(net, epochs):
        if epochs > 2:
            for weight in net.fusion.score_maps.weights:
                weight.fill_(math.nan)
        hook(net, epochs)

    record = run(adjust=adjust, adjusted=hook.description)
    assert record["status"] == "diverged" and record["diverged_at"] == 3


def test_between_epochs_the_logarithm_is_interpolated(penalised):
    hook, known = follow(penalised), norms(penalised)
    name = next(iter(known[0]))
    assert hook.norms(1)[name] == pytest.approx(known[1][name])
    assert hook.norms(1.5)[name] == pytest.approx(math.sqrt(known[1][name] * known[2][name]))
    assert hook.norms(1.5)[name] != pytest.approx((known[1][name] + known[2][name]) / 2, rel=1e-6)


def test_rescaling_leaves_the_function_and_the_rest_of_the_model_alone(penalised):
    net = runs.build(samples(1, 0), "attention", 3, channels=(3, 2), widths=(5,)).eval()
    before, batch = copy.deepcopy(net), samples(4, 9)
    follow(penalised)(net, 2.3)
    for (name, new), old in zip(net.named_parameters(), before.parameters(), strict=True):
        changed = not torch.equal(new, old)
        assert changed == name.startswith("fusion.score_maps.weights"), name
    with torch.no_grad():
        for name, output in net(batch).items():
            torch.testing.assert_close(output, before(batch)[name], rtol=1e-4, atol=1e-6)
        # The check can fail: without the quotient the same rescaling is seen.
        for each in (net, before):
            each.fusion.score_maps.spectral = None
        assert not torch.allclose(net(batch)["sensor"], before(batch)["sensor"], rtol=1e-3, atol=1e-7)


def test_a_change_of_the_followed_run_is_another_description(penalised):
    other = copy.deepcopy(penalised)
    key = next(iter(norms(other)[0]))
    other["history"][2]["measures"][key] *= 1.01
    assert follow(penalised).description == follow(copy.deepcopy(penalised)).description
    assert follow(penalised).description != follow(other).description


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, {"weight_l2": 0.1}, "must have weight_l2 0, got 0.1"),
        ({"status": "diverged"}, {}, "of a run that diverged; wanted one that finished"),
        ({"dataset": {"name": "toy", "digest": "other"}}, {}, "of other data; train 'lambda-1' on these first"),
        ({}, {"fusion": "attention-original"}, "of the fusion 'attention'; wanted 'attention-original'"),
        ({}, {"learning_rate": 0.02}, "made with another learning_rate; wanted the same"),
        ({}, {"epochs": 5}, "made with another epochs"),
    ],
)
def test_runs_that_do_not_fit(penalised, change, arguments, message):
    with pytest.raises(ValueError, match=message):
        follow({**penalised, **change}, **arguments)


def test_a_record_without_norms_or_with_norms_of_zero(penalised):
    bare = copy.deepcopy(penalised)
    bare["history"][-1]["measures"] = {}
    with pytest.raises(ValueError, match="holds no norms of the score weights at the start and the end"):
        follow(bare)
    for bad in (0.0, None):
        bare = copy.deepcopy(penalised)
        bare["history"][1]["measures"][next(iter(norms(bare)[0]))] = bad
        with pytest.raises(ValueError, match="norms that are not positive"):
            follow(bare)


def test_models_whose_function_would_change_are_refused(penalised):
    for fusion in ("attention-scaled", "sum"):
        net = runs.build(samples(1, 0), fusion, 0, channels=(3, 2), widths=(5,))
        with pytest.raises(ValueError, match="only weights under the spectral quotient"):
            follow(penalised)(net, 1.0)
    three = samples(1, 0) | {"signal": torch.zeros(1, 4)}
    net = runs.build(three, "attention", 0, channels=(3, 2), widths=(5,))
    with pytest.raises(ValueError, match="the followed run has the score matrices"):
        follow(penalised)(net, 1.0)
