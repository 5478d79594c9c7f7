"""Error of α ⊙ τ, in both units."""

from __future__ import annotations

import pytest
import torch

from mmfusion.measure.additivity import additivity, best_gain


def draws(count=200, latent=3, seed=0):
    return torch.randn(count, latent, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_gain_is_recovered_and_leaves_no_error():
    tau, gain, before = draws(), torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64), draws(seed=1)
    found = additivity(before, before + gain * tau, tau)
    assert torch.allclose(best_gain(gain * tau, tau), gain)
    assert found.error == pytest.approx(0, abs=1e-12) and found.relative_to_shift < 1e-12
    assert found.feature_norm == pytest.approx(before.norm(dim=1).mean().item())


def test_best_gain_is_least_squares():
    tau, shift = draws(), draws(seed=2) @ draws(3, seed=3)
    best = best_gain(shift, tau)
    loss = lambda gain: (shift - gain * tau).square().sum()  # noqa: E731
    assert all(loss(best) < loss(best + step) for step in 0.01 * torch.cat([torch.eye(3), -torch.eye(3)]).double())


def test_a_swap_of_entries_is_not_explained_at_all():
    tau = torch.cat([torch.eye(2), -torch.eye(2)]).double()
    found = additivity(torch.full((4, 2), 50.0).double(), 50 + tau.flip(1), tau)
    assert found.relative_to_shift == pytest.approx(1)
    assert found.relative_to_norm == pytest.approx(1 / (50 * 2**0.5))
    unmoved = additivity(torch.full((4, 2), 50.0).double(), 50 + tau.flip(1), tau, gain=0.0)
    assert unmoved.error == pytest.approx(found.error)


def test_an_entry_that_never_moves_gets_no_gain():
    tau = draws() * torch.tensor([1.0, 0.0, 1.0])
    assert best_gain(draws(seed=4), tau)[1] == 0


def test_bad_input():
    tau = draws()
    with pytest.raises(ValueError, match="differ in shape"):
        additivity(tau, tau[:3], tau)
    with pytest.raises(ValueError, match="sample, latent"):
        best_gain(tau, tau[:3])
    with pytest.raises(ValueError, match="one sample or more"):
        best_gain(tau[:0], tau[:0])
    with pytest.raises(ValueError, match="moves"):
        additivity(tau, tau, tau)
    with pytest.raises(ValueError, match="not zero"):
        additivity(0 * tau, tau, tau)
