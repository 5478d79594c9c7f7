"""Projected gradient ascent and how far it gets."""

from __future__ import annotations

import pytest
import torch

from mmfusion.measure.pgd import projected_ascent, reach

SLOPE = torch.tensor([3.0, -0.1, 2.0], dtype=torch.float64)


def linear(x):
    return (x * SLOPE).sum()


@pytest.mark.parametrize(
    ("radius", "step", "steps", "far"),
    [(0.1, 0.001, 5, 0.005), (0.005, 0.001, 10, 0.005), (1.0, 0.5, 0, 0.0)],
)
def test_it_goes_as_far_as_reach_says(radius, step, steps, far):
    start = torch.tensor([0.3, 0.4, -0.5], dtype=torch.float64)
    end = projected_ascent(linear, start, radius, step, steps)
    assert reach(radius, step, steps) == pytest.approx(far)
    assert torch.allclose(end - start, far * SLOPE.sign())


def test_projection_keeps_it_in_the_ball_and_random_starts_reach_further():
    start = torch.zeros(200, 3, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    end = projected_ascent(linear, start, 0.1, 0.001, 5, random_start=True, generator=generator)
    assert reach(0.1, 0.001, 5) < end.abs().max() <= 0.1 + 1e-12


def test_ascent_climbs():
    bump = lambda x: -((x - 1) ** 2).sum()  # noqa: E731
    end = projected_ascent(bump, torch.zeros(4, dtype=torch.float64), 2.0, 0.1, 10)
    assert torch.allclose(end, torch.ones(4, dtype=torch.float64), atol=1e-9)


@pytest.mark.parametrize("given", [(-1.0, 0.1, 3), (1.0, -0.1, 3), (1.0, 0.1, -3), (float("nan"), 0.1, 3)])
def test_bad_input(given):
    with pytest.raises(ValueError, match="must not be negative"):
        reach(*given)
    with pytest.raises(ValueError, match="must not be negative"):
        projected_ascent(linear, SLOPE, *given)
