"""Sensitivity of bilinear fusion: exact constants against dense sampling, truncation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.bilinear import farthest_in_ball, lipschitz_on_balls, mean_square_sensitivity, truncate

GOLDEN = (1 + math.sqrt(5)) / 2


def matrix(rows, columns, seed):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand():
    B = torch.tensor([[3.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    assert lipschitz_on_balls(B, 2) == pytest.approx(math.sqrt(2) * 2 * 3)
    both = torch.tensor([[0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    assert lipschitz_on_balls(both, 1, appended=True) == pytest.approx(math.sqrt(2))
    assert lipschitz_on_balls(truncate(both, 1), 1, appended=True) == pytest.approx(math.sqrt(2 / 5) * GOLDEN**2)
    assert mean_square_sensitivity(both, appended=True) == pytest.approx(2)
    assert mean_square_sensitivity(B) == pytest.approx(20)


@given(seed=st.integers(0, 999), size=st.floats(0, 5), radius=st.floats(0.1, 3))
@settings(max_examples=30, deadline=None)
def test_farthest_point_by_sampling(seed, size, radius):
    A, shift = matrix(2, 2, seed), size * matrix(2, 1, seed + 1)[:, 0]
    angle = torch.linspace(0, 2 * math.pi, 20001, dtype=torch.float64)
    circle = radius * torch.stack([angle.cos(), angle.sin()])
    seen = (A @ circle + shift[:, None]).norm(dim=0).max().item()
    assert farthest_in_ball(A, shift, radius) == pytest.approx(seen, rel=1e-6)


@pytest.mark.parametrize("shift", [[0.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 50.0]])
def test_farthest_point_hard_case(shift):
    """The shift has no part along the top singular vector."""
    A = torch.diag(torch.tensor([2.0, 1.0], dtype=torch.float64))
    angle = torch.linspace(0, 2 * math.pi, 20001, dtype=torch.float64)
    seen = (A @ torch.stack([angle.cos(), angle.sin()]) + torch.tensor(shift)[:, None]).norm(dim=0).max().item()
    assert farthest_in_ball(A, torch.tensor(shift, dtype=torch.float64), 1) == pytest.approx(seen, rel=1e-6)


@given(seed=st.integers(0, 999), appended=st.booleans())
@settings(max_examples=20, deadline=None)
def test_mean_square_falls_with_the_rank(seed, appended):
    B = matrix(4, 5, seed)
    values = [mean_square_sensitivity(truncate(B, r), appended=appended) for r in range(5)]
    assert values == sorted(values) and values[-1] == pytest.approx(mean_square_sensitivity(B, appended=appended))


def test_truncate():
    B = matrix(4, 3, 0)
    singular = torch.linalg.svdvals(B)
    assert (B - truncate(B, 1)).norm() == pytest.approx(singular[1:].norm().item())
    torch.testing.assert_close(truncate(B, 9), B)
    assert truncate(B, 0).norm() == 0


def test_refusals():
    B = torch.ones(2, 2)
    for radius in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match="radius must be a finite number"):
            lipschitz_on_balls(B, radius)
    with pytest.raises(ValueError, match="NaN or infinite"):
        mean_square_sensitivity(torch.tensor([[math.nan]]))
    with pytest.raises(ValueError, match="no latent beside the ones"):
        lipschitz_on_balls(torch.ones(1, 3), 1, appended=True)
    with pytest.raises(ValueError, match="rank must not be negative, got -1"):
        truncate(B, -1)
