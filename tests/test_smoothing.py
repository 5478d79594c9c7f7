"""The law of a shift, exact and in floats, and the closed forms that pages B rest on."""

from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.smoothing import ShiftKernel, curvature_from_variation, passed_at_least, softmax_curvature

HALF = sp.Rational(1, 2)
SHIFTS = st.lists(st.floats(-5, 5), min_size=1, max_size=6)


def test_exact_stays_exact():
    kernel = ShiftKernel.of([sp.Integer(-1), sp.Integer(1)])
    c, w = sp.symbols("c omega", real=True)
    assert kernel.exact and list(kernel.weights) == [HALF, HALF]
    assert kernel.mean() == 0 and kernel.covariance() == 1 and kernel.mean_energy() == HALF
    assert sp.expand(kernel.smooth(lambda f: f**4, c) - (c**4 + 6 * c**2 + 1)) == 0
    assert sp.simplify(kernel.characteristic(w).rewrite(sp.cos) - sp.cos(w)) == 0


def test_floats_agree_with_exact():
    atoms, weights = [Fraction(1, 3), Fraction(-2), Fraction(5, 7)], [Fraction(1, 6), Fraction(1, 3), Fraction(1, 2)]
    exact, plain = ShiftKernel.of(atoms, weights), ShiftKernel.of([float(a) for a in atoms], [1 / 6, 1 / 3, 1 / 2])
    assert not plain.exact
    for get in (ShiftKernel.mean, ShiftKernel.covariance, ShiftKernel.mean_energy):
        assert float(get(exact)) == pytest.approx(get(plain))
    assert complex(exact.characteristic(sp.Rational(3, 2))) == pytest.approx(complex(plain.characteristic(1.5)))
    assert plain.characteristic(np.zeros((2, 3))).shape == (2, 3)


def test_vectors_and_tensors():
    atoms = np.array([[0.0, 1.0], [2.0, -1.0], [1.0, 0.5]])
    kernel = ShiftKernel.of(atoms)
    assert np.allclose(kernel.mean(), atoms.mean(0))
    assert np.allclose(kernel.covariance(), np.cov(atoms.T, bias=True))
    c = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    smoothed = kernel.smooth(lambda f: f.square().sum(-1), c)
    assert torch.allclose(smoothed, torch.stack([(c + torch.tensor(a)).square().sum(-1) for a in atoms]).mean(0))
    w = np.array([[0.3, 0.4], [1.0, -2.0]])
    assert np.allclose(kernel.characteristic(w), np.exp(1j * w @ atoms.T).mean(-1))
    symbolic = ShiftKernel.of(sp.Matrix([[1, 0], [0, 1]])).characteristic(sp.symbols("a b"))
    assert symbolic == sum(sp.exp(sp.I * s) * HALF for s in sp.symbols("a b"))


def test_equal_atoms_merge_and_weightless_ones_go():
    kernel = ShiftKernel.of([1.0, 2.0, 1.0, 9.0], [0.25, 0.5, 0.25, 0.0])
    assert kernel.atoms.tolist() == [1.0, 2.0] and kernel.weights.tolist() == [0.5, 0.5]
    assert ShiftKernel.of([3.0, 3.0]).covariance() == 0


def test_kernels_of_samples():
    features, labels = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 5.0]]), torch.tensor([0, 0, 1])
    kernels = ShiftKernel.by_class(features, torch.tensor([1.0, 0.0]), labels)
    assert kernels.keys() == {0, 1}
    assert kernels[0].atoms.tolist() == [[0.0, 0.0], [2.0, 0.0]]
    assert kernels[1].atoms.tolist() == [[4.0, 5.0]] and not kernels[1].covariance().any()


@settings(max_examples=60, deadline=None)
@given(SHIFTS, SHIFTS, st.floats(-20, 20))
def test_sum_of_independent_shifts(first, second, omega):
    a, b = ShiftKernel.of(first), ShiftKernel.of(second)
    both = a.convolved(b)
    assert both.weights.sum() == pytest.approx(1)
    assert complex(both.characteristic(omega)) == pytest.approx(
        complex(a.characteristic(omega) * b.characteristic(omega))
    )
    assert both.covariance() == pytest.approx(a.covariance() + b.covariance(), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(SHIFTS, st.floats(-3, 3))
def test_variance_bounds_what_is_filtered(shifts, omega):
    kernel = ShiftKernel.of(shifts)
    passed = abs(kernel.characteristic(omega)) ** 2
    assert passed_at_least(omega, kernel.covariance()) - 1e-9 <= passed <= 1 + 1e-12
    spread = min(abs(omega) * np.sqrt(max(kernel.covariance(), 0)), np.pi / 2)
    assert passed_at_least(omega, kernel.covariance()) - 1e-9 <= np.cos(spread) ** 2 <= passed + 1e-9


def test_variance_bound_in_several_dimensions():
    generator = np.random.default_rng(0)
    kernel, w = ShiftKernel.of(generator.normal(size=(5, 3))), generator.normal(size=(50, 3)) / 2
    assert (passed_at_least(w, kernel.covariance()) <= abs(kernel.characteristic(w)) ** 2 + 1e-12).all()
    with pytest.raises(ValueError, match="does not fit"):
        passed_at_least(np.ones(2), np.eye(3))


def test_kinks_and_density():
    assert curvature_from_variation(1, 2) == 2
    with pytest.raises(ValueError, match="slope"):
        curvature_from_variation(-1, 2)


def test_softmax_curvature_is_the_hessian_in_the_bias():
    logits = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(9) % 4
    loss = lambda b: torch.nn.functional.cross_entropy(logits + b, labels)  # noqa: E731
    hessian = torch.func.hessian(loss)(torch.zeros(4, dtype=torch.float64))
    found = softmax_curvature(logits.softmax(-1))
    assert torch.allclose(found, hessian)
    assert torch.linalg.matrix_norm(found, ord=2) <= 0.5
    for wrong in (torch.tensor([0.5, 0.6]), torch.tensor([1.5, -0.5]), torch.ones(3, 1)):
        with pytest.raises(ValueError, match="probabilities"):
            softmax_curvature(wrong)


@pytest.mark.parametrize(
    ("atoms", "weights", "words"),
    [
        ([], None, "at least one atom"),
        ([[[1.0]]], None, "shape"),
        ([1.0, float("nan")], None, "finite"),
        ([sp.oo, sp.Integer(1)], None, "finite"),
        ([1.0, 2.0], [0.5], "one weight per atom"),
        ([1.0, 2.0], [1.5, -0.5], "negative"),
        ([1.0, 2.0], [0.5, 0.6], "sum to 1"),
        ([sp.Integer(1), sp.Integer(2)], [HALF, sp.Rational(1, 3)], "sum to 1"),
        ([[1.0, 2.0], [3.0]], None, "rectangular"),
        (["a", "b"], None, "real numbers"),
    ],
)
def test_bad_laws_are_refused(atoms, weights, words):
    with pytest.raises(ValueError, match=words):
        ShiftKernel.of(atoms, weights)


def test_bad_shapes_are_refused():
    kernel = ShiftKernel.of(np.eye(3))
    with pytest.raises(ValueError, match=r"\(\.\.\., 3\)"):
        kernel.characteristic(np.ones(2))
    with pytest.raises(ValueError, match="one dimension"):
        kernel.convolved(ShiftKernel.of([1.0]))
    with pytest.raises(ValueError, match="sample, d"):
        ShiftKernel.from_features(np.eye(3), np.ones(2))
    with pytest.raises(ValueError, match="one label per sample"):
        ShiftKernel.by_class(np.eye(3), np.ones(3), [1, 2])
