"""Estimates of Lipschitz constants against Jacobians and constants that are known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmfusion.measure import lipschitz


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def conv_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 6, 5, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(72, 7)
    ).double()


def jacobians(f, points):
    rows = [torch.autograd.functional.jacobian(lambda x: f(x[None])[0].flatten(), p) for p in points]
    return torch.stack([row.reshape(row.shape[0], -1) for row in rows])


def test_algorithm1_is_exact_for_an_isotropic_quadratic():
    estimate = lipschitz.algorithm1(lambda x: 1.5 * x.square().sum(1), 7, 20, (-1, 1), generator=seeded())
    assert estimate == pytest.approx(3.0)


def test_algorithm1_never_exceeds_the_constant_and_grows_with_the_budget():
    weights = torch.randn(40, dtype=torch.float64, generator=seeded(3))
    weights = weights / weights.norm()

    def f(x):
        return 0.5 * (x @ weights).square()

    small, large = (lipschitz.algorithm1(f, 40, n, (0, 1), generator=seeded(), chunk=16) for n in (16, 512))
    assert 0 < small <= large < 1


def test_algorithm1_does_not_depend_on_the_chunk_size_in_what_it_finds():
    ones = [lipschitz.algorithm1(lambda x: x.sum(1).sin(), 1, 64, chunk=c, generator=seeded()) for c in (64, 1024)]
    assert ones[0] == pytest.approx(ones[1])


def test_algorithm1_skips_pairs_closer_than_epsilon():
    assert lipschitz.algorithm1(lambda x: x.square().sum(1), 3, 50, (0, 1), epsilon=10.0) == 0.0


def test_algorithm1_of_a_linear_function_is_zero():
    assert lipschitz.algorithm1(lambda x: x.sum(1), 3, 50) == 0.0
    assert lipschitz.algorithm1(lambda x: torch.ones(len(x), dtype=x.dtype, requires_grad=True), 3, 50) == 0.0


def test_algorithm1_map_is_a_secant_slope_of_the_map():
    scale = torch.diag(torch.tensor([3.0, 1.0]))
    one_axis = lipschitz.algorithm1_map(lambda x: x @ scale, (2,), 2000, generator=seeded())
    assert 2.9 < one_axis <= 3.0 + 1e-5
    net = conv_net()
    estimate = lipschitz.algorithm1_map(net, (2, 12, 12), 32, dtype=torch.float64, generator=seeded())
    points = torch.rand(8, 2, 12, 12, dtype=torch.float64, generator=seeded())
    assert 0 < estimate < lipschitz.spectral_lower_bound(net, points, generator=seeded()).max()


@pytest.mark.parametrize("shape", [(2, 12, 12)])
def test_max_frobenius_equals_the_full_jacobian_wide_and_tall(shape):
    net = conv_net()
    points = torch.rand(3, *shape, dtype=torch.float64, generator=seeded())
    assert lipschitz.max_frobenius(net, points) == pytest.approx(
        float(jacobians(net, points).flatten(1).norm(dim=1).max())
    )
    tall = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 50)).double()
    points = torch.rand(4, 3, dtype=torch.float64, generator=seeded())
    assert lipschitz.max_frobenius(tall, points) == pytest.approx(
        float(jacobians(tall, points).flatten(1).norm(dim=1).max())
    )


def test_max_frobenius_of_the_identity_is_the_root_of_the_dimension():
    assert lipschitz.max_frobenius(lambda x: x, torch.rand(2, 288)) == pytest.approx(math.sqrt(288))


def test_power_iteration_reaches_the_spectral_norm_of_the_jacobian():
    net = conv_net()
    points = torch.rand(4, 2, 12, 12, dtype=torch.float64, generator=seeded())
    exact = torch.linalg.matrix_norm(jacobians(net, points), ord=2)
    found = lipschitz.spectral_lower_bound(net, points, 300, generator=seeded())
    assert torch.allclose(found, exact, rtol=1e-4)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_power_iteration_never_exceeds_the_spectral_norm_and_rises(seed, iterations):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 6), nn.Tanh()).double()
    points = torch.randn(3, 5, dtype=torch.float64)
    exact = torch.linalg.matrix_norm(jacobians(net, points), ord=2)
    low = lipschitz.spectral_lower_bound(net, points, iterations, generator=seeded(seed))
    more = lipschitz.spectral_lower_bound(net, points, iterations + 1, generator=seeded(seed))
    assert (low <= exact * (1 + 1e-12)).all()
    assert (more >= low * (1 - 1e-12)).all()


def test_ascent_never_lowers_and_raises_where_the_slope_varies():
    def f(x):
        return x.square()

    start = torch.full((1, 3), 0.2, dtype=torch.float64)
    still = lipschitz.spectral_lower_bound(f, start, 30, generator=seeded())
    moved = lipschitz.spectral_lower_bound(f, start, 30, ascent=40, domain=(-1.0, 1.0), generator=seeded())
    assert still.item() == pytest.approx(0.4)
    assert moved.item() == pytest.approx(2.0, rel=1e-3)
    net = conv_net()
    points = torch.rand(3, 2, 12, 12, dtype=torch.float64, generator=seeded())
    plain = lipschitz.spectral_lower_bound(net, points, 10, generator=seeded())
    raised = lipschitz.spectral_lower_bound(net, points, 10, ascent=15, step=0.5, domain=(0, 1), generator=seeded())
    assert (raised >= plain).all()
    assert (raised > plain * 1.001).any()


def test_constant_and_dead_maps_have_slope_zero():
    points = torch.rand(2, 4)
    assert lipschitz.spectral_lower_bound(lambda x: torch.ones(len(x), 3), points).tolist() == [0.0, 0.0]
    assert lipschitz.spectral_lower_bound(lambda x: torch.relu(-x - 1), points).tolist() == [0.0, 0.0]
    assert lipschitz.max_frobenius(lambda x: torch.ones(len(x), 9), points) == 0.0


def test_parameters_keep_their_gradients_untouched():
    net = conv_net()
    lipschitz.spectral_lower_bound(net, torch.rand(2, 2, 12, 12, dtype=torch.float64), 3, ascent=2)
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lipschitz.algorithm1(lambda x: x, 3, 5), "one number per row"),
        (lambda: lipschitz.algorithm1(lambda x: x.sum(1), 3, 0), "samples"),
        (lambda: lipschitz.algorithm1(lambda x: x.sum(1), 0, 5), "dimension"),
        (lambda: lipschitz.algorithm1(lambda x: x.sum(1), 3, 5, (1, 1)), "a < b"),
        (lambda: lipschitz.algorithm1(lambda x: x.sum(1), 3, 5, epsilon=-1), "epsilon"),
        (lambda: lipschitz.max_frobenius(lambda x: x, torch.rand(0, 3)), "non-empty"),
        (lambda: lipschitz.max_frobenius(lambda x: x, torch.full((1, 3), math.nan)), "finite"),
        (lambda: lipschitz.spectral_lower_bound(lambda x: x / 0, torch.ones(1, 3)), "NaN or infinity"),
        (lambda: lipschitz.spectral_lower_bound(lambda x: x.sum(), torch.ones(1, 3)), "one row per point"),
        (lambda: lipschitz.spectral_lower_bound(lambda x: x, torch.ones(1, 3), 0), "iterations"),
        (lambda: lipschitz.spectral_lower_bound(lambda x: x, torch.ones(1, 3), ascent=-1), "ascent"),
        (lambda: lipschitz.spectral_lower_bound(lambda x: x, torch.ones(1, 3), ascent=1, step=0), "step"),
        (lambda: lipschitz.spectral_lower_bound(lambda x: x, torch.ones(1, 3), domain=(1, 0)), "domain"),
    ],
)
def test_bad_input_gets_one_clear_message(call, message):
    with pytest.raises(ValueError, match=message):
        call()
