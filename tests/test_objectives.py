import pytest
import torch

from mmfusion.objectives import l2_penalty, reconstruction_errors, total_error


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
