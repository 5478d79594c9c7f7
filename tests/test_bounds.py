"""The closed forms: one formula for every kind of number, and what they promise about real maps."""

import math

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion import bounds

POSITIVE = st.floats(0.01, 20.0)
SCALAR = {
    "attention_lipschitz": 2,
    "attention_lipschitz_paper": 2,
    "attention_lipschitz_scores": 3,
    "normalised_attention_lipschitz": 2,
    "normalised_attention_lipschitz_original": 2,
    "decoder_gradient_lipschitz": 5,
    "decoder_gradient_lipschitz_paper": 6,
    "attention_jacobian_lipschitz_paper": 4,
}
LISTS = ("concat_lipschitz", "concat_lipschitz_paper", "concat_lipschitz_shared", "sum_lipschitz_bounds",
         "sum_lipschitz_paper", "sum_lipschitz_shared")  # fmt: skip


def attention(weights, v):
    """The map itself, written from Definition 4.1 by loops: weights (n, d, d), v (n, d)."""
    n = len(weights)
    mapped = [weights[i] @ v[i] for i in range(n)]
    return torch.cat([sum(mapped[i] @ mapped[j] for j in range(n) if j != i) / (n - 1) * v[i] for i in range(n)])


def in_ball(generator, n, d, radius):
    v = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return radius * torch.rand(n, 1, generator=generator, dtype=torch.float64) * v / v.norm(dim=1, keepdim=True)


@pytest.mark.parametrize(("name", "count"), SCALAR.items())
def test_one_formula_serves_symbols_numbers_arrays_and_tensors(name, count):
    formula, numbers = getattr(bounds, name), [2.0 + 0.5 * k for k in range(count)]
    symbols = sympy.symbols(f"x:{count}", positive=True)
    plain = formula(*numbers)
    assert isinstance(plain, float)
    expression = formula(*symbols)
    assert expression.free_symbols <= set(symbols)
    assert math.isclose(expression.subs(dict(zip(symbols, numbers, strict=True))), plain)
    array = formula(*[np.array([x, x]) for x in numbers])
    assert array.shape == (2,) and np.allclose(array, plain)
    tensors = [torch.tensor([x, x], dtype=torch.float64, requires_grad=True) for x in numbers]
    tensor = formula(*tensors)
    assert tensor.shape == (2,) and torch.allclose(tensor, torch.tensor(plain, dtype=torch.float64))
    tensor.sum().backward()
    assert any(t.grad is not None and t.grad.isfinite().all() for t in tensors)


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_constants_in_every_kind(name):
    formula, numbers = getattr(bounds, name), [3.0, 4.0, 0.5]
    plain = np.ravel(formula(numbers))
    symbols = sympy.symbols("L1:4", nonnegative=True)
    expressions = formula(symbols)
    for expression, value in zip(expressions if isinstance(expressions, tuple) else [expressions], plain, strict=True):
        assert math.isclose(expression.subs(dict(zip(symbols, numbers, strict=True))), value)
    assert np.allclose(np.ravel(formula(np.array(numbers))), plain)
    columns = formula([np.array([x, 2 * x]) for x in numbers])
    assert np.allclose(np.ravel(columns), np.ravel([[x, 2 * x] for x in plain]))
    tensor = formula(torch.tensor(numbers, dtype=torch.float64))
    assert np.allclose(np.ravel([float(x) for x in (tensor if isinstance(tensor, tuple) else [tensor])]), plain)


def test_printed_and_corrected_values_at_one_point():
    M, R = sympy.symbols("M R", positive=True)
    assert bounds.attention_lipschitz(M, R) == 3 * M**2 * R**2
    assert bounds.attention_lipschitz_paper(M, R) == 4 * M**2 * R**2
    assert bounds.attention_lipschitz_scores(M, 0, R) == bounds.attention_lipschitz(M, R)
    assert bounds.attention_jacobian_lipschitz(sympy.Integer(2), M, R) == 3 * sympy.sqrt(2) * M**2 * R
    assert bounds.attention_jacobian_lipschitz_paper(3, M, R, 2) == 6 * M**3 * R
    assert bounds.normalised_attention_lipschitz(2, 16) == 0.25
    assert bounds.concat_lipschitz([3, 4]) == 4 and bounds.concat_lipschitz_paper([3, 4]) == 5
    assert bounds.concat_lipschitz_shared([3, 4]) == (4, 5)
    assert bounds.sum_lipschitz_bounds([3, 4]) == (4, 5) and bounds.sum_lipschitz_paper([3, 4]) == 7
    assert bounds.sum_lipschitz_shared([3, 4, 5]) == (0, 12)
    assert bounds.sum_lipschitz_shared([3, 4]) == (1, 7)


def test_jacobian_constant_closed_forms_and_limits():
    exact = [3 * sympy.sqrt(2), 2 * sympy.sqrt(3), 3, 6 / sympy.sqrt(5)]
    assert [bounds.attention_jacobian_constant(sympy.Integer(n)) for n in range(2, 6)] == exact
    values = [bounds.attention_jacobian_constant(n) for n in range(2, 60)]
    assert all(a > b for a, b in zip(values, values[1:], strict=False))
    for n, value in enumerate(values, 2):
        assert 2 < value <= 2 * math.sqrt((n + 3) / (n - 1)) * (1 + 1e-12)
    n = 10**9
    assert math.isclose(bounds.attention_jacobian_constant(n), 2 + 2 / (n - 1), rel_tol=1e-15)


@pytest.mark.parametrize("n", [6, 7, 8, 20, 321])
def test_jacobian_constant_against_a_fine_grid(n):
    N = n - 1
    t = np.linspace(0, 1, 400_001)
    F = ((1 + 2 * t) ** 2 + N * t**2 * ((3 - 2 / N) * t + 2 / N) ** 2) / (1 + N * t**2) ** 2
    found = bounds.attention_jacobian_constant(n)
    assert found >= 2 * math.sqrt(F.max()) * (1 - 1e-15) and math.isclose(found, 2 * math.sqrt(F.max()), rel_tol=1e-9)
    assert float(bounds.attention_jacobian_constant(sympy.Integer(n))) == found


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 4), d=st.integers(1, 3), seed=st.integers(0, 10**6), R=POSITIVE, scale=POSITIVE)
def test_attention_bounds_lie_above_every_sampled_ratio_and_in_order(n, d, seed, R, scale):
    generator = torch.Generator().manual_seed(seed)
    weights = scale * torch.randn(n, d, d, generator=generator, dtype=torch.float64)
    M = torch.linalg.matrix_norm(weights, ord=2).max().item()
    v, w = in_ball(generator, n, d, R), in_ball(generator, n, d, R)
    ratio = ((attention(weights, v) - attention(weights, w)).norm() / (v - w).norm()).item()
    refined = bounds.attention_lipschitz_weights(weights, R).item()
    assert ratio <= refined * (1 + 1e-9)
    assert refined <= bounds.attention_lipschitz(M, R) * (1 + 1e-9)
    assert bounds.attention_lipschitz(M, R) <= bounds.attention_lipschitz_paper(M, R)
    jacobian = torch.autograd.functional.jacobian
    gap = jacobian(lambda x: attention(weights, x), v) - jacobian(lambda x: attention(weights, x), w)
    gradient_ratio = (torch.linalg.matrix_norm(gap.flatten(1), ord=2) / (v - w).norm()).item()
    assert gradient_ratio <= bounds.attention_jacobian_lipschitz(n, M, R) * (1 + 1e-9)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_attention_constant_is_attained_at_equal_vectors(n):
    M, R, eps = 1.7, 0.6, 1e-6
    weights = M * torch.eye(2, dtype=torch.float64).expand(n, 2, 2)
    v = R * torch.tensor([0.6, 0.8], dtype=torch.float64).expand(n, 2)
    ratio = ((attention(weights, v) - attention(weights, (1 - eps) * v)).norm() / (eps * v).norm()).item()
    assert math.isclose(ratio, bounds.attention_lipschitz(M, R), rel_tol=1e-5)
    assert math.isclose(bounds.attention_lipschitz_weights(weights, R), 3 * M**2 * R**2, rel_tol=1e-12)


def test_weights_bound_for_two_modalities_sees_orthogonal_ranges_and_kinds():
    first, second = np.diag([5.0, 0.0]), np.diag([0.0, 5.0])
    assert bounds.attention_lipschitz_weights([first, second], 1.0) == 0.0
    value = bounds.attention_lipschitz_weights([first, [[1.0, 2.0], [0.0, 1.0]]], 2.0)
    assert isinstance(value, float)
    assert math.isclose(value, 3 * 4 * np.linalg.norm(first.T @ [[1.0, 2.0], [0.0, 1.0]], ord=2), rel_tol=1e-12)
    tensor = bounds.attention_lipschitz_weights(torch.eye(2).expand(2, 2, 2), torch.tensor(1.0))
    assert isinstance(tensor, torch.Tensor) and tensor.item() == pytest.approx(3.0)


def test_decoder_bound_covers_the_case_where_the_printed_one_is_zero():
    # E = 1, D_θ(u) = θu: the gradient is -2(x - θ), of slope 2 in x, whatever the encoder does.
    assert bounds.decoder_gradient_lipschitz(1, 0.3, 1, 1, 0) == 2
    assert bounds.decoder_gradient_lipschitz_paper(1, 0.3, 1, 1, 1, 0) == 0
    B, f, g, rho, u = sympy.symbols("B f g rho u", positive=True)
    corrected = bounds.decoder_gradient_lipschitz(B, f, g, rho, u)
    assert sympy.expand(corrected - 2 * B - 2 * B * f * u - 2 * rho * g * u) == 0


def test_encoder_bounds_term_by_term():
    # u = 10x + θ, D = sin, |x| ≤ 10: the printed bound is 42, the gradient's slope reaches 217.9.
    assert bounds.encoder_gradient_lipschitz_paper(1, [1], [1], 10, 10, 0) == 42
    assert bounds.encoder_gradient_lipschitz(1, [1], [1], [11], 10, 0) >= 217.9
    assert bounds.encoder_gradient_lipschitz(2.0, [3.0, 4.0], [0, 0], [0, 0], 0, 0) == 2 * 2 * 5
    assert bounds.encoder_gradient_lipschitz(1.0, [0.0], [3.0], [5.0], 7.0, 0.0) == 2 * 3 * 5 * 7
    assert bounds.encoder_gradient_lipschitz(0.0, [2.0, 1.0], [0, 0], [5.0, 1.0], 0, 7.0) == 2 * 7 * 11
    symbols = sympy.symbols("B L G C A H", positive=True)
    B, L, G, C, A, H = symbols
    printed = bounds.encoder_gradient_lipschitz_paper(B, [L], [G], C, A, H)
    assert sympy.expand(printed - 2 * (L * B + L**2 * B * A + C * G * B + C * L * H)) == 0
    assert isinstance(bounds.encoder_gradient_lipschitz(torch.tensor(1.0), [torch.tensor(1.0)], [1.0], [1.0], 1.0, 1.0),
                      torch.Tensor)  # fmt: skip


@given(st.lists(POSITIVE, min_size=1, max_size=6))
def test_sum_and_concat_are_ordered(constants):
    low, high = bounds.sum_lipschitz_bounds(constants)
    assert low == bounds.concat_lipschitz(constants) == max(constants)
    assert low <= high * (1 + 1e-12) and high <= bounds.sum_lipschitz_paper(constants) * (1 + 1e-12)
    assert high <= math.sqrt(len(constants)) * low * (1 + 1e-12)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: bounds.attention_lipschitz(-1.0, 1.0), "M must be at least 0, got -1.0"),
        (lambda: bounds.attention_lipschitz(1.0, math.nan), "R must be finite"),
        (lambda: bounds.attention_lipschitz(1.0, sympy.oo), "R must be finite"),
        (lambda: bounds.attention_lipschitz(sympy.Integer(-2), 1), "M must be at least 0"),
        (lambda: bounds.attention_lipschitz(torch.tensor([1.0, -1.0]), 1.0), "M must be at least 0"),
        (lambda: bounds.attention_lipschitz("two", 1.0), "M must be a number"),
        (lambda: bounds.attention_lipschitz_scores(1.0, np.array([1.0, np.inf]), 1.0), "beta must be finite"),
        (lambda: bounds.attention_jacobian_constant(1), "n must be an integer of at least 2, got 1"),
        (lambda: bounds.attention_jacobian_constant(2.5), "n must be an integer"),
        (lambda: bounds.attention_jacobian_constant(sympy.Symbol("n")), "n must be an integer"),
        (lambda: bounds.attention_jacobian_constant(math.inf), "n must be an integer"),
        (lambda: bounds.attention_jacobian_lipschitz(1, 1.0, 1.0), "n must be an integer"),
        (lambda: bounds.attention_jacobian_lipschitz_paper(1, 1.0, 1.0, 1.0), "n must be at least 2"),
        (lambda: bounds.normalised_attention_lipschitz(0.0, 4), "r must be positive"),
        (lambda: bounds.normalised_attention_lipschitz(1.0, 0), "d must be at least 1"),
        (lambda: bounds.normalised_attention_lipschitz_original(0.5, 4), "rho must be at least 1"),
        (lambda: bounds.attention_lipschitz_weights([np.eye(2)], 1.0), "at least two modalities, got 1"),
        (lambda: bounds.attention_lipschitz_weights([np.eye(2), np.eye(3)], 1.0), "of one shape"),
        (lambda: bounds.attention_lipschitz_weights([torch.eye(2), np.eye(2)], 1.0), "of one shape and type"),
        (lambda: bounds.attention_lipschitz_weights(np.ones((2, 3)), 1.0), "modality, rows, latent"),
        (lambda: bounds.attention_lipschitz_weights(np.full((2, 2, 2), np.nan), 1.0), "weights must be finite"),
        (lambda: bounds.attention_lipschitz_weights(np.ones((2, 2, 2)), -1.0), "R must be at least 0"),
        (lambda: bounds.concat_lipschitz([]), "constants is empty"),
        (lambda: bounds.sum_lipschitz_bounds([1.0, -0.5]), r"constants\[1\] must be at least 0"),
        (lambda: bounds.encoder_gradient_lipschitz(1, [1, 1], [1], [1, 1], 1, 1), "L_decoder_gradients has 1"),
    ],
)
def test_bad_numbers_are_refused_with_what_was_given_and_what_is_wanted(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_constants_that_are_no_sequence_are_named():
    with pytest.raises(ValueError, match="constants must be a sequence with one constant per modality, got 'ab'"):
        bounds.sum_lipschitz_bounds("ab")
