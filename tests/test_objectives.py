import math

import pytest
import torch

from mmfusion.objectives import (
    baseline_errors,
    explained_variance,
    l2_penalty,
    reconstruction_errors,
    total_error,
)


def test_errors_are_means_and_the_total_is_their_sum():
    outputs = {"a": torch.zeros(2, 3), "b": torch.zeros(2, 1, 2, 2)}
    targets = {"a": torch.full((2, 3), 2.0), "b": torch.full((2, 1, 2, 2), 3.0)}
    errors = reconstruction_errors(outputs, targets)
    assert {name: error.item() for name, error in errors.items()} == {"a": 4.0, "b": 9.0}
    assert total_error(errors).item() == 13.0


def test_half_precision_outputs_are_compared_in_single():
    target = torch.full((1, 4), 300.0)
    errors = reconstruction_errors({"a": torch.zeros(1, 4, dtype=torch.float16)}, {"a": target})
    assert errors["a"].dtype == torch.float32
    assert errors["a"].item() == 90_000.0


def test_penalty_gradient_is_the_decay_term_of_equation_7():
    weights = [torch.randn(3, 2, requires_grad=True), torch.randn(4, requires_grad=True)]
    l2_penalty(weights, 0.5).backward()
    for weight in weights:
        torch.testing.assert_close(weight.grad, 2 * 0.5 * weight.detach())


def test_nothing_to_penalise():
    assert l2_penalty([], 0.5) == 0.0
    assert l2_penalty([torch.ones(2)], 0.0) == 0.0


def test_bad_arguments():
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        l2_penalty([], -1.0)
    with pytest.raises(ValueError, match="outputs have the modalities \\['a'\\], targets have \\['b'\\]"):
        reconstruction_errors({"a": torch.zeros(1)}, {"b": torch.zeros(1)})
    with pytest.raises(ValueError, match="output is \\(2, 3\\), target is \\(2, 4\\)"):
        reconstruction_errors({"a": torch.zeros(2, 3)}, {"a": torch.zeros(2, 4)})


def sets(train=150, test=90):
    generator = torch.Generator().manual_seed(0)
    return [
        {"a": torch.randn(n, 3, 2, generator=generator) + shift, "b": 5 * torch.rand(n, 4, generator=generator)}
        for n, shift in ((train, 0.0), (test, 1.0))
    ]


def test_the_baseline_is_the_error_of_the_training_mean():
    train, test = sets()
    for name, error in baseline_errors(train, test).items():
        mean = train[name].double().mean(0)
        predicted = {name: mean.expand_as(test[name])}
        assert error == pytest.approx(
            reconstruction_errors(predicted, {name: test[name].double()})[name].item(), rel=1e-12
        )
    own = {name: float(tensor.double().var(0, correction=0).mean()) for name, tensor in train.items()}
    assert baseline_errors(train, train) == pytest.approx(own)
    # The training mean, not the test mean: a shift between the two sets counts.
    assert baseline_errors(train, test)["a"] > 1.5 * float(test["a"].var(0).mean())


def test_explained_variance_has_no_unit():
    train, test = sets()
    baseline = baseline_errors(train, test)
    assert explained_variance(0.0, baseline["a"]) == 1
    assert explained_variance(baseline["a"], baseline["a"]) == 0
    assert explained_variance(3 * baseline["a"], baseline["a"]) == -2
    noisy = {name: tensor + 0.3 for name, tensor in test.items()}
    score = {}
    for unit in (1, 255):
        clean = {name: unit * tensor for name, tensor in test.items()}
        errors = reconstruction_errors({name: unit * tensor for name, tensor in noisy.items()}, clean)
        units = baseline_errors({name: unit * tensor for name, tensor in train.items()}, clean)
        score[unit] = {name: explained_variance(float(errors[name]), units[name]) for name in errors}
    assert score[1] == pytest.approx(score[255], rel=1e-5)
    assert math.isnan(explained_variance(math.nan, 1.0))


def test_bad_baselines():
    train, test = sets()
    with pytest.raises(ValueError, match="training set has the modalities \\['a'\\], the test set has \\['a', 'b'\\]"):
        baseline_errors({"a": train["a"]}, test)
    for wrong in (test["b"][:0], test["a"]):
        with pytest.raises(ValueError, match="'b' wants samples of one shape in both sets"):
            baseline_errors(train, {**test, "b": wrong})
    for constant in (0.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="R² needs a modality that varies"):
            explained_variance(1.0, constant)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        explained_variance(-1.0, 1.0)
