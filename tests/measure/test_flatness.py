"""Flatness of losses whose measures are known in closed form."""

from __future__ import annotations

import pytest
import torch

from mmfusion.measure.flatness import curvatures, eigenvalue_quotient, low_pass_gap, sphere_gap

SIZES = torch.tensor([6.0, 5.0, 4.0, 3.0, 2.0, 1.0], dtype=torch.float64)


def bowl(theta):
    return 0.5 * (SIZES * theta**2).sum()


def product(theta):
    """Loss of the network w₂·relu(w₁x) at x = y = 1."""
    return (theta[0] * theta[1] - 1) ** 2


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def seeded():
    return torch.Generator().manual_seed(0)


def test_curvatures_of_a_bowl_largest_first():
    assert torch.allclose(curvatures(bowl, torch.zeros(6, dtype=torch.float64)), SIZES)
    assert torch.allclose(curvatures(bowl, vector(1, 1, 1, 1, 1, 3), relative=True)[:2], vector(9, 6))


@pytest.mark.parametrize("scale", [0.1, 1.0, 7.0])
def test_relative_curvature_survives_rescaling(scale):
    point = vector(scale, 1 / scale)
    assert curvatures(product, point)[0].item() == pytest.approx(2 * (scale**2 + scale**-2))
    assert curvatures(product, point, relative=True)[0].item() == pytest.approx(4)


def test_quotient():
    assert eigenvalue_quotient(SIZES) == pytest.approx(3)
    assert eigenvalue_quotient(1e6 * torch.ones(5)) == pytest.approx(1)
    assert eigenvalue_quotient(SIZES.flip(0), rank=2) == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("values", "rank", "word"),
    [([1.0, 2.0], 5, "rank"), ([1.0], 0, "rank"), ([1.0, -1.0], 2, "positive"), ([1.0, float("nan")], 1, "finite")],
)
def test_quotient_refuses(values, rank, word):
    with pytest.raises(ValueError, match=word):
        eigenvalue_quotient(vector(*values), rank)


def test_low_pass_gap_is_half_the_trace():
    found = low_pass_gap(bowl, vector(1, -2, 3, 0, 1, 1), 0.3, draws=4000, generator=seeded())
    assert found == pytest.approx(0.3**2 / 2 * SIZES.sum().item(), rel=0.05)
    assert low_pass_gap(lambda t: t.sum(), vector(1, 2), 5.0) == pytest.approx(0, abs=1e-9)
    assert low_pass_gap(bowl, SIZES, 0.0) == 0


def test_relative_noise_does_not_see_rescaling():
    gaps = [low_pass_gap(product, vector(s, 1 / s), 0.1, relative=True, generator=seeded()) for s in (0.01, 1.0, 30.0)]
    assert gaps == pytest.approx([gaps[0]] * 3) and gaps[0] > 0


def test_sphere_gap_stays_on_the_sphere():
    point = vector(5, 5, 5)
    assert sphere_gap(lambda t: (t - point).norm(), point, 0.25) == pytest.approx(0.25)
    assert sphere_gap(lambda t: -(t - point).norm(), point, 0.25) == pytest.approx(0.25)


@pytest.mark.parametrize("call", [
    lambda: low_pass_gap(bowl, SIZES, -1.0), lambda: low_pass_gap(bowl, SIZES, 1.0, draws=0),
    lambda: sphere_gap(bowl, SIZES, -1.0), lambda: sphere_gap(bowl, SIZES[None], 1.0),
    lambda: curvatures(bowl, SIZES * float("inf")),
])  # fmt: skip
def test_bad_input(call):
    with pytest.raises(ValueError, match="wanted"):
        call()
