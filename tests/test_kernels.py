"""Kernels and multiple kernel learning: refusals, positive semi-definiteness, optimality."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.kernels import check_kernel, fit_mkl, gaussian_kernel, linear_kernel, product, weighted_sum

X = np.random.default_rng(0).normal(size=(40, 3))
LABELS = np.where(X[:, 0] + 0.2 * X[:, 1] > 0, 1, -1)
KERNELS = [linear_kernel(X[:, :1]), gaussian_kernel(X[:, 1:2], width=0.5), linear_kernel(X[:, 2:])]


@given(seed=st.integers(0, 999), weight=st.floats(0, 3))
@settings(max_examples=20, deadline=None)
def test_sums_and_products_are_kernels(seed, weight):
    points = np.random.default_rng(seed).normal(size=(8, 2))
    pair = [linear_kernel(points, ones=True), gaussian_kernel(points)]
    check_kernel(weighted_sum(pair, [weight, 1]))
    check_kernel(product(pair))
    assert np.allclose(np.diag(pair[1]), 1)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.ones((2, 3)), "square matrix"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "NaN or infinite"),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), "not symmetric"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "not positive semi-definite: its least eigenvalue is -1"),
    ],
)
def test_refuses_what_is_no_kernel(matrix, words):
    with pytest.raises(ValueError, match=words):
        check_kernel(matrix)
    with pytest.raises(ValueError, match="kernel 1"):
        fit_mkl([np.eye(len(matrix)), matrix], np.array([1, -1]))


def test_refuses_weights_and_labels():
    with pytest.raises(ValueError, match="one weight for each of 2"):
        weighted_sum([np.eye(2)] * 2, [1.0])
    with pytest.raises(ValueError, match="must not be negative"):
        weighted_sum([np.eye(2)] * 2, [1.0, -1.0])
    with pytest.raises(ValueError, match="labels must be -1 and 1"):
        fit_mkl([np.eye(2)], np.array([0, 1]))
    with pytest.raises(ValueError, match="do not fit"):
        fit_mkl([np.eye(3)], np.array([-1, 1]))
    with pytest.raises(ValueError, match="penalty must be positive"):
        fit_mkl([np.eye(2)], np.array([-1, 1]), penalty=0)
    with pytest.raises(ValueError, match="at least one kernel"):
        fit_mkl([], np.array([-1, 1]))
    with pytest.raises(ValueError, match="at least one kernel"):
        product([])
    for combine in (product, lambda kernels: weighted_sum(kernels, [1.0, 1.0])):
        with pytest.raises(ValueError, match=r"different samples cannot be combined: shapes \[\(2, 2\), \(3, 3\)\]"):
            combine([np.eye(2), np.eye(3)])
    for kernel in (linear_kernel, gaussian_kernel):
        with pytest.raises(ValueError, match=r"as many features in both; got \(40, 3\) and \(40, 2\)"):
            kernel(X, X[:, :2])
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        fit_mkl([np.eye(2)], np.array([-1, 1]), steps=0)
    with pytest.raises(ValueError, match="width must be positive"):
        gaussian_kernel(X, width=0)


def test_mkl_is_optimal():
    """No other weights do better, the objective never rises, and the parts add up."""
    found = fit_mkl(KERNELS, LABELS, penalty=2)
    assert found.gap <= 1e-4 * found.objectives[-1]
    assert found.weights.sum() == pytest.approx(1) and (found.weights >= 0).all()
    assert all(b <= a + 1e-6 for a, b in zip(found.objectives, found.objectives[1:], strict=False))
    rng = np.random.default_rng(1)
    for _ in range(20):
        weights = rng.dirichlet(np.ones(3))
        single = fit_mkl([weighted_sum(KERNELS, weights)], LABELS, penalty=2)
        assert single.objectives[-1] >= found.objectives[-1] - found.gap - 1e-6
    np.testing.assert_allclose(found.decide(KERNELS), found.parts(KERNELS).sum(0) + found.offset)
    assert (np.sign(found.decide(KERNELS)) == LABELS).mean() > 0.9
    with pytest.raises(ValueError, match="wants 3 kernels, got 1"):
        found.decide(KERNELS[:1])


def test_mkl_drops_what_does_not_help():
    useless = np.eye(40) * 1e-6
    found = fit_mkl([KERNELS[0], useless], LABELS)
    assert found.weights[0] > 0.99
