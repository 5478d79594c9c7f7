"""The gradient penalty and what a penalised critic computes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
import torch
from torch import nn

from mmfusion.adversarial import gradient_penalty, penalised_distance, penalised_slope


def batches(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(*shape, generator=generator), torch.rand(*shape, generator=generator)


@pytest.mark.parametrize("shape", [(4, 3), (4, 2, 3), (1, 5)])
def test_a_linear_critic_pays_for_its_slope(shape):
    codes, fused = batches(*shape)
    slope = torch.full(shape[1:], 2.0)
    length = 2 * math.sqrt(slope.numel())
    for keep in (False, True):
        value = gradient_penalty(lambda x, keep=keep: (x * slope).flatten(1).sum(1, keepdim=keep), codes, fused, 5.0)
        assert value.item() == pytest.approx(5 * (length - 1) ** 2, rel=1e-5)


def test_slope_one_costs_nothing_and_weight_zero_neither():
    codes, fused = batches(6, 3)
    assert gradient_penalty(lambda x: x[:, 0], codes, fused).item() == pytest.approx(0, abs=1e-10)
    assert gradient_penalty(lambda x: 7 * x[:, 0], codes, fused, 0).item() == 0


def test_each_sample_has_its_own_position_between_its_own_two():
    codes, fused = torch.ones(500, 2), torch.zeros(500, 2)
    codes[250:] += 10
    seen = []
    gradient_penalty(lambda x: seen.append(x.detach()) or x.sum(1), codes, fused)
    (between,) = seen
    share = between / codes
    torch.testing.assert_close(share[:, 0], share[:, 1])
    assert len(share[:, 0].unique()) > 400
    assert 0 <= share.min() < 0.05 and 0.95 < share.max() <= 1


def test_a_generator_makes_it_repeatable():
    codes, fused = batches(5, 3)
    values = [
        gradient_penalty(lambda x: x.square().sum(1), codes, fused, generator=torch.Generator().manual_seed(s)).item()
        for s in (1, 1, 2)
    ]
    assert values[0] == values[1] != values[2]


def test_the_penalty_trains_the_critic_and_nothing_else():
    critic = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    codes, fused = (x.requires_grad_(True) for x in batches(5, 3))
    gradient_penalty(critic, codes, fused).backward()
    assert codes.grad is None and fused.grad is None
    assert critic[0].weight.grad.abs().max() > 0


def test_a_flat_critic_has_a_finite_gradient_and_no_grad_is_overruled():
    weight = torch.zeros(3, requires_grad=True)
    codes, fused = batches(5, 3)
    with torch.no_grad():
        value = gradient_penalty(lambda x: x @ weight, codes, fused, 1.0)
    assert value.item() == pytest.approx(1, abs=1e-5)
    gradient_penalty(lambda x: x @ weight, codes, fused).backward()
    assert weight.grad.isfinite().all()


def test_ascent_with_the_penalty_subtracted_finds_the_predicted_slope():
    distance, weight = 3.0, 2.0
    codes, fused = torch.full((4, 1), distance), torch.zeros(4, 1)
    k = torch.tensor([0.5], requires_grad=True)
    optimiser = torch.optim.SGD([k], lr=0.1, maximize=True)
    for _ in range(100):
        optimiser.zero_grad()
        value = (codes @ k).mean() - (fused @ k).mean() - gradient_penalty(lambda x: x @ k, codes, fused, weight)
        value.backward()
        optimiser.step()
    assert k.item() == pytest.approx(penalised_slope(distance, weight), rel=1e-4)
    assert value.item() == pytest.approx(penalised_distance(distance, weight), rel=1e-4)


def test_refusals():
    codes, fused = batches(4, 3)
    with pytest.raises(ValueError, match=r"equal shapes, batch size included; got \(4, 3\) and \(3, 3\)"):
        gradient_penalty(lambda x: x.sum(1), codes, fused[:3])
    with pytest.raises(ValueError, match="at least one sample and feature"):
        gradient_penalty(lambda x: x.sum(1), codes[:0], fused[:0])
    for wrong in (-1.0, math.nan):
        with pytest.raises(ValueError, match="must not be negative"):
            gradient_penalty(lambda x: x.sum(1), codes, fused, wrong)
    with pytest.raises(ValueError, match=r"returned shape \(4, 3\), wanted one number per sample"):
        gradient_penalty(lambda x: x, codes, fused)


def test_refuses_a_critic_that_mixes_samples():
    codes, fused = batches(4, 3)
    critic = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    with pytest.raises(ValueError, match="mixes samples by BatchNorm1d"):
        gradient_penalty(critic, codes, fused)
    assert gradient_penalty(critic.eval(), codes, fused).isfinite()
    layered = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 1))
    assert gradient_penalty(layered, codes, fused).isfinite()


def test_closed_forms_speak_every_dialect():
    w, lam = sp.symbols("W lambda", positive=True)
    assert sp.expand(penalised_distance(w, lam) - w - w**2 / (4 * lam)) == 0
    assert penalised_slope(1.0, 10) == pytest.approx(1.05)
    assert penalised_slope(torch.tensor([1.0, 2.0]), 1.0).tolist() == [1.5, 2.0]
    assert penalised_distance(np.array([0.0, 2.0]), 1.0).tolist() == [0.0, 3.0]
    for function in (penalised_slope, penalised_distance):
        with pytest.raises(ValueError, match="distance must not be negative, got -1"):
            function(-1.0, 10)
        with pytest.raises(ValueError, match="weight must be positive, got 0"):
            function(1.0, 0)
