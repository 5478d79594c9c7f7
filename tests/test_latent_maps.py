import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.latent_maps import LatentMaps


def maps(spectral, layers=2, latent=6, scale=1.0, seed=0, **options):
    torch.manual_seed(seed)
    module = LatentMaps(3, latent, layers, spectral=spectral, **options).double()
    with torch.no_grad():
        for weight in module.weights:
            weight *= scale
    return module


def norms(module):
    return torch.stack([torch.linalg.matrix_norm(weight, ord=2) for weight in module.effective_weights()])


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
@settings(max_examples=20, deadline=None)
def test_quotient_has_norm_one_and_projection_at_most_one(seed, scale):
    quotient = maps("quotient", scale=scale, seed=seed).eval()
    torch.testing.assert_close(norms(quotient), torch.ones(2, 3, dtype=torch.float64))
    projection = maps("projection", scale=scale, seed=seed).eval()
    raw = torch.stack([torch.linalg.matrix_norm(weight, ord=2) for weight in projection.weights])
    torch.testing.assert_close(norms(projection), raw.clamp_max(1.0))


def test_projection_keeps_small_weights_where_the_quotient_amplifies_them():
    small = 0.1 * torch.eye(6, dtype=torch.float64)
    results = {}
    for spectral in ("projection", "quotient"):
        module = maps(spectral, layers=1).eval()
        with torch.no_grad():
            module.weights[0].copy_(small.expand(3, 6, 6))
        results[spectral] = module.effective_weights()[0][0]
    torch.testing.assert_close(results["projection"], small)
    torch.testing.assert_close(results["quotient"], 10 * small)


def test_forward_is_what_the_effective_weights_say():
    module = maps("quotient", bias=True).eval()
    stacked = torch.randn(4, 3, 6, dtype=torch.float64)
    first, second = module.effective_weights()
    for index in range(3):
        hidden = torch.relu(stacked[:, index] @ first[index].T + module.biases[0][index])
        expected = hidden @ second[index].T + module.biases[1][index]
        torch.testing.assert_close(module(stacked)[:, index], expected)


def test_tracked_norm_follows_the_weights():
    module = maps("quotient", layers=1, latent=24).train()
    drift = torch.randn(3, 24, 24, dtype=torch.float64) * 0.01
    for _ in range(60):
        with torch.no_grad():
            module.weights[0] += drift
        tracked = module.spectral_norms(0)
    exact = torch.linalg.matrix_norm(module.weights[0], ord=2)
    assert (tracked <= exact * (1 + 1e-9)).all()
    torch.testing.assert_close(tracked, exact, rtol=0.02, atol=0)


@pytest.mark.parametrize("fused", [True, False])
def test_evaluation_is_exact_after_every_kind_of_update(fused):
    """Fused optimisers change weights behind the version counter; the kept decomposition must notice all the same."""
    module = LatentMaps(3, 6, 2, spectral="quotient").eval()
    stacked = torch.randn(4, 3, 6)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.3, fused=fused)
    for _ in range(3):
        optimiser.zero_grad()
        module(stacked).square().sum().backward()
        optimiser.step()
        torch.testing.assert_close(norms(module), torch.ones(2, 3), rtol=1e-5, atol=0)
    module.weights[0].data.mul_(torch.rand(3, 6, 6))
    torch.testing.assert_close(norms(module), torch.ones(2, 3), rtol=1e-5, atol=0)


def test_gradient_of_the_quotient_is_exact():
    module = maps("quotient", layers=1, latent=4).eval()
    weight = module.weights[0]
    target = torch.randn_like(weight)
    (ours,) = torch.autograd.grad((module.effective_weights()[0] * target).sum(), weight)
    direct = weight / torch.linalg.matrix_norm(weight, ord=2)[:, None, None]
    (exact,) = torch.autograd.grad((direct * target).sum(), weight)
    torch.testing.assert_close(ours, exact)


def test_backward_through_two_forward_passes():
    module = maps("quotient").train()
    stacked = torch.randn(4, 3, 6, dtype=torch.float64)
    (module(stacked).sum() + module(2 * stacked).sum()).backward()
    assert all(torch.isfinite(weight.grad).all() and weight.grad.abs().sum() > 0 for weight in module.weights)


def test_state_survives_copying_and_loading():
    module = maps("quotient").train()
    stacked = torch.randn(4, 3, 6, dtype=torch.float64)
    module(stacked)
    twin = copy.deepcopy(module)
    other = maps("quotient", seed=1).train()
    other.load_state_dict(module.state_dict())
    expected = module(stacked)
    assert torch.equal(twin(stacked), expected)
    assert torch.equal(other(stacked), expected)


def test_weights_that_are_not_finite_give_results_that_are_not():
    module = maps("quotient").eval()
    with torch.no_grad():
        module.weights[0][1, 2, 3] = torch.nan
    assert torch.isnan(module(torch.ones(1, 3, 6, dtype=torch.float64))[:, 1]).any()


def test_without_normalisation_nothing_is_divided():
    module = maps(None, scale=7.0)
    assert torch.equal(module.divisors(0), torch.ones(3, dtype=torch.float64))
    assert all(torch.equal(a, b) for a, b in zip(module.effective_weights(), module.weights, strict=True))
    torch.testing.assert_close(module.spectral_norms(1), torch.linalg.matrix_norm(module.weights[1], ord=2))
