"""Exact distances between clouds, the critic that attains them, and the sampling floor."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from mmfusion.transport import Critic, optimal_critic, sampling_floor, wasserstein


def clouds(seed=0, n=5, d=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(n, d)) + 0.5


@pytest.mark.parametrize("order", [1, 2])
def test_equal_weights_are_the_best_matching(order):
    x, y = clouds()
    best = min(
        np.mean(np.linalg.norm(x - y[list(p)], axis=1) ** order) for p in itertools.permutations(range(len(x)))
    )  # fmt: skip
    assert wasserstein(x, y, order=order) == pytest.approx(best ** (1 / order))


def test_on_the_line_it_is_the_area_between_distribution_functions():
    rng = np.random.default_rng(1)
    x, y, a, b = rng.normal(size=4), rng.normal(size=6), rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(6))
    edges = np.sort(np.concatenate([x, y]))
    gaps = [abs(a[x <= t].sum() - b[y <= t].sum()) for t in edges[:-1]]
    assert wasserstein(x, y, a, b) == pytest.approx(np.dot(gaps, np.diff(edges)))


def test_clouds_of_different_sizes_tensors_and_lists():
    assert wasserstein([[0.0, 0.0]], torch.tensor([[3.0, 4.0], [0.0, 0.0]]), second_weights=[0.25, 0.75]) == 1.25
    assert wasserstein(torch.zeros(2, requires_grad=True), [1.0]) == 1.0
    assert wasserstein([0.0, 1.0], [1.0, 0.0]) == 0.0
    assert wasserstein([0.0, 0.0], [0.0, 2.0], order=2) == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.zeros((0, 2)), np.zeros((1, 2))), r"first must be a cloud .* got \(0, 2\)"),
        (([0.0], []), r"second must be a cloud"),
        ((np.zeros((2, 2)), np.zeros((2, 3))), "clouds of one dimension wanted, got 2 and 3"),
        (([0.0, 1.0], [0.0], [1.5, -0.5]), "weights of the first cloud must not be negative, got -0.5"),
        (([0.0, 1.0], [0.0], [0.5, 0.6]), "weights of the first cloud must sum to 1, they sum to 1.1"),
        (([0.0], [0.0, 1.0], None, [1.0]), r"second cloud has 2 points and weights of shape \(1,\)"),
        (([0.0], [1.0], [math.nan]), "must not be negative, got nan"),
        (([math.inf], [1.0]), "first holds points that are not finite"),
    ],
)
def test_refusals(arguments, words):
    for function in (wasserstein, optimal_critic):
        with pytest.raises(ValueError, match=words):
            function(*arguments)


def test_refuses_other_orders():
    with pytest.raises(ValueError, match="order must be 1 or 2, got 3"):
        wasserstein([0.0], [1.0], order=3)


def test_the_critic_attains_the_distance_and_is_lipschitz():
    x, y = clouds(3, n=8)
    a, b = np.random.default_rng(4).dirichlet(np.ones(8), size=2)
    critic = optimal_critic(x, y, a, b)
    assert a @ critic(x) - b @ critic(y) == pytest.approx(wasserstein(x, y, a, b))
    far, near = np.random.default_rng(5).normal(size=(2, 200, 3)) * 3
    assert (abs(critic(far) - critic(near)) <= np.linalg.norm(far - near, axis=1) + 1e-12).all()


def test_the_critic_leaves_out_points_without_weight():
    critic = optimal_critic([0.0, 9.0], [1.0, 5.0], [1.0, 0.0], [1.0, 0.0])
    assert critic.anchors.tolist() == [[1.0]]
    assert (critic([0.0]) - critic([1.0])).item() == 1.0


def test_the_gradient_of_a_critic_has_length_one():
    critic = Critic(np.array([[0.0, 0.0], [2.0, 1.0]]), np.array([0.0, 0.3]))
    step, where = 1e-6, np.random.default_rng(6).normal(size=(50, 2))
    slopes = np.stack([(critic(where + step * e) - critic(where - step * e)) / (2 * step) for e in np.eye(2)], axis=1)
    np.testing.assert_allclose(np.linalg.norm(slopes, axis=1), 1, atol=1e-6)
    with pytest.raises(ValueError, match="the critic lives in 2 dimensions, points have 3"):
        critic(np.zeros((1, 3)))


def test_sampling_floor_lies_below_what_is_measured_and_falls_with_the_batch():
    rng = np.random.default_rng(7)
    for d in (1, 2, 5):
        found = np.mean([wasserstein(*rng.random((2, 32, d))) for _ in range(10)])
        assert 0 < sampling_floor(64, d, 1.0) < sampling_floor(32, d, 1.0) < found
    assert sampling_floor(1, 1, 2.0) == pytest.approx(1 / 8)
    large = [sampling_floor(batch, 4, 1.0) * batch**0.25 for batch in (10**4, 10**6)]
    assert large[0] == pytest.approx(large[1], rel=1e-3)


@pytest.mark.parametrize("wrong", [(0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.0), (1, 1, math.nan)])
def test_sampling_floor_refuses(wrong):
    with pytest.raises(ValueError, match="wanted batch ≥ 1, dimension ≥ 1 and a positive peak"):
        sampling_floor(*wrong)
