"""The theorems' constants in closed form.

One formula serves SymPy symbols, Python numbers, NumPy arrays and torch tensors; the result is of the kind that came
in. Each function states what the constant bounds, where the source states it and which page of the book proves it;
names ending in `_paper` give what is printed, without any promise that it holds. Numeric input that makes no sense
(negative, infinite or NaN, no modality, fewer than two for attention) raises `ValueError`; symbols pass unchecked.

Norms are Euclidean for vectors and spectral for matrices. "Separate inputs" means that every modality has its own
input and the product space carries the Euclidean norm; "shared input" means that all encoders read the same one.

Paper A is Altinses and Schwung, Stabilizing Multimodal Autoencoders.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import sympy
import torch

__all__ = [
    "attention_jacobian_constant",
    "attention_jacobian_lipschitz",
    "attention_jacobian_lipschitz_paper",
    "attention_lipschitz",
    "attention_lipschitz_paper",
    "attention_lipschitz_scores",
    "attention_lipschitz_weights",
    "concat_lipschitz",
    "concat_lipschitz_paper",
    "concat_lipschitz_shared",
    "decoder_gradient_lipschitz",
    "decoder_gradient_lipschitz_paper",
    "encoder_gradient_lipschitz",
    "encoder_gradient_lipschitz_paper",
    "normalised_attention_lipschitz",
    "normalised_attention_lipschitz_original",
    "sum_lipschitz_bounds",
    "sum_lipschitz_paper",
    "sum_lipschitz_shared",
]

# A Python or NumPy number, a SymPy expression, a NumPy array or a torch tensor (arrays and tensors by entry).
Quantity = Any

# Attention: the map.


def attention_lipschitz(M: Quantity, R: Quantity) -> Quantity:
    """Sharp Lipschitz constant 3 M² R² of bilinear attention, for every number of modalities n ≥ 2.

    It bounds the map of Definition 4.1 on every set where all ‖v_i‖ ≤ R, for all weights with ‖W_i‖ ≤ M, and is
    attained on the product of balls by W_i = M·I at equal v_i. Sharpens Theorem 4.1 of paper A; proof: page
    "lipschitz/attention".
    """
    _nonnegative(M=M, R=R)
    return 3 * M**2 * R**2


def attention_lipschitz_paper(M: Quantity, R: Quantity) -> Quantity:
    """The bound 4 M² R² as printed in Theorem 4.1 of paper A; it holds and is never attained for M R > 0."""
    _nonnegative(M=M, R=R)
    return 4 * M**2 * R**2


def attention_lipschitz_weights(weights: Any, R: Quantity) -> Quantity:
    """Bound for given weights: R²/(n−1) · ‖2 diag(Σ_{j≠i} σ_ij) + (σ_ij)_{i≠j}‖ with σ_ij = ‖W_iᵀ W_j‖.

    Never above 3 M² R²; for n = 2 it is 3 R² ‖W_1ᵀ W_2‖, the exact constant on the product of balls of radius R.
    Refines Theorem 4.1 of paper A; proof: page "lipschitz/attention".

    Parameters
    ----------
    weights: (modality, rows, latent) array or tensor, or a sequence of n ≥ 2 matrices. Numeric, not symbolic.
    R: bound on all ‖v_i‖.

    Raises
    ------
    ValueError: fewer than two matrices, shapes that do not fit, values that are not finite, or a negative R.
    """
    _nonnegative(R=R)
    matrices = list(weights)
    n = len(matrices)
    if n < 2:
        raise ValueError(f"attention needs the weights of at least two modalities, got {n}")
    tensors = any(isinstance(matrix, torch.Tensor) for matrix in matrices)
    try:
        stack = torch.stack(matrices if tensors else [torch.from_numpy(np.array(m, float)) for m in matrices])
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"weights must be numeric matrices of one shape and type: {error}") from error
    if stack.ndim != 3 or 0 in stack.shape:
        raise ValueError(f"weights must have shape (modality, rows, latent), got {tuple(stack.shape)}")
    _finite("weights", stack)
    others = ~torch.eye(n, dtype=torch.bool, device=stack.device)
    sigma = torch.linalg.matrix_norm(stack.mT[:, None] @ stack[None], ord=2) * others
    norm = torch.linalg.eigvalsh(2 * torch.diag(sigma.sum(dim=1)) + sigma)[-1]
    return R**2 / (n - 1) * (norm if tensors else norm.item())


def attention_lipschitz_scores(l: Quantity, beta: Quantity, R: Quantity) -> Quantity:  # noqa: E741
    """Bound (ℓR + β)(3ℓR + β) for attention whose scores are f_i(v_i)·f_j(v_j) with general maps f_i.

    Each f_i has Lipschitz constant at most `l` on the ball of radius R and ‖f_i(0)‖ ≤ `beta`. For linear maps
    (l = M, beta = 0) this is 3 M² R². Extends Theorem 4.1 of paper A to the networks of its section 5.3; proof: page
    "lipschitz/attention".
    """
    _nonnegative(l=l, beta=beta, R=R)
    return (l * R + beta) * (3 * l * R + beta)


# Attention: the Jacobian.


def attention_jacobian_constant(n: Quantity) -> Quantity:
    """The sharp constant c_n of the Jacobian of bilinear attention: c_n M² R in spectral norm.

    6/√n for n ≤ 5; beyond, 2 max_t √F(t) with F rational in one variable, evaluated at the exact stationary points to
    machine precision. It falls from 3√2 at n = 2 towards 2. A SymPy integer gives a SymPy number. Corrects Theorem 4.2
    of paper A; proof: page "lipschitz/attention-gradient".

    Raises
    ------
    ValueError: n is not an integer of at least 2.
    """
    symbolic = isinstance(n, sympy.Basic)
    try:
        whole = int(n)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"n must be an integer of at least 2, got {n!r}") from error
    if whole != n or whole < 2:
        raise ValueError(f"n must be an integer of at least 2, got {n!r}")
    if whole <= 5:
        return 6 / sympy.sqrt(n) if symbolic else 6 / math.sqrt(whole)
    # In τ = t√N with x = 1/√N the coefficients stay of order one however large n is.
    x = 1 / math.sqrt(whole - 1)
    tau = np.polynomial.Polynomial([0.0, 1.0])
    upper = (1 + 2 * x * tau) ** 2 + tau**2 * (x * (3 - 2 * x**2) * tau + 2 * x**2) ** 2
    stationary = (upper.deriv() * (1 + tau**2) - 4 * tau * upper).roots()
    real = stationary.real[np.abs(stationary.imag) < 1e-9]
    candidates = [0.0, 1 / x, *real[(real > 0) & (real < 1 / x)]]
    value = 2 * math.sqrt(max(upper(t) / (1 + t * t) ** 2 for t in candidates))
    return sympy.Float(value) if symbolic else value


def attention_jacobian_lipschitz(n: Quantity, M: Quantity, R: Quantity) -> Quantity:
    """Sharp Lipschitz constant c_n M² R of the Jacobian of bilinear attention, in spectral norm.

    Corrects Theorem 4.2 of paper A, which prints M³; proof: page "lipschitz/attention-gradient". See
    `attention_jacobian_constant`.
    """
    _nonnegative(M=M, R=R)
    return attention_jacobian_constant(n) * M**2 * R


def attention_jacobian_lipschitz_paper(n: Quantity, M: Quantity, R: Quantity, C: Quantity) -> Quantity:
    """The bound C_n M³ R as printed in Theorem 4.2 of paper A, with C_n = C·n ("depending linearly on n").

    The paper leaves `C` open. No C makes the bound true for small M; page "lipschitz/attention-gradient".
    """
    _nonnegative(M=M, R=R, C=C)
    _at_least(2, n=n)
    return C * n * M**3 * R


# Attention: normalised.


def normalised_attention_lipschitz(r: Quantity, d: Quantity) -> Quantity:
    """Bound 2/(r √d) for attention that scores and scales v_i/‖v_i‖, with ‖W_i‖ ≤ 1 and scores divided by √d.

    Holds where all ‖v_i‖ ≥ r > 0 for every n ≥ 2, sharp for n = 2, d ≥ 2; without such an r there is no constant.
    Completes section 4.5.1 of paper A; proof: page "lipschitz/normalisation".
    """
    _positive(r=r)
    _at_least(1, d=d)
    return 2 / (r * _root(d))


def normalised_attention_lipschitz_original(rho: Quantity, d: Quantity) -> Quantity:
    """Bound (2 + ρ)/√d for attention that scores v_i/‖v_i‖ but scales the original v_i.

    `rho` ≥ 1 bounds max_i ‖v_i‖ / min_j ‖v_j‖. Not sharp. Completes section 4.5.1 of paper A; proof: page
    "lipschitz/normalisation".
    """
    _at_least(1, rho=rho, d=d)
    return (2 + rho) / _root(d)


# Sum and concatenation of encoders.


def concat_lipschitz(constants: Iterable[Quantity]) -> Quantity:
    """Exact constant max L_i of concatenated encoders with separate inputs.

    Corrects Theorem 3.3 of paper A; proof: page "lipschitz/aggregation".
    """
    return _largest(_constants(constants))


def concat_lipschitz_paper(constants: Iterable[Quantity]) -> Quantity:
    """√(Σ L_i²), printed in Theorem 3.3 and Eq. (40) of paper A as the constant of concatenation; an upper bound."""
    return _root(_sum_of_squares(_constants(constants)))


def concat_lipschitz_shared(constants: Iterable[Quantity]) -> tuple[Quantity, Quantity]:
    """(low, high) = (max L_i, √(Σ L_i²)) for concatenated encoders of one shared input; both ends occur.

    Corrects the appendix to Theorem 3.3 of paper A; proof: page "lipschitz/aggregation".
    """
    return sum_lipschitz_bounds(constants)


def sum_lipschitz_bounds(constants: Iterable[Quantity]) -> tuple[Quantity, Quantity]:
    """(low, high) = (max L_i, √(Σ L_i²)) for summed encoders with separate inputs; both ends occur.

    Corrects Theorem 3.3 of paper A; proof: page "lipschitz/aggregation".
    """
    values = _constants(constants)
    return _largest(values), _root(_sum_of_squares(values))


def sum_lipschitz_paper(constants: Iterable[Quantity]) -> Quantity:
    """Σ L_i, printed in Theorem 3.3 of paper A as the constant of summation; an upper bound."""
    return sum(_constants(constants))


def sum_lipschitz_shared(constants: Iterable[Quantity]) -> tuple[Quantity, Quantity]:
    """(low, high) = (max(0, 2 max L_i − Σ L_i), Σ L_i) for summed encoders of one shared input; both are attained.

    At the low end the other encoders cancel as much of the steepest as they can. For the same encoders
    L_sum ≤ √n L_concat, since the sum is [I … I] after the concatenation. Corrects the appendix to Theorem 3.3 of
    paper A; proof: page "lipschitz/aggregation".
    """
    constants = _constants(constants)
    total = sum(constants)
    return _largest([0 * total, 2 * _largest(constants) - total]), total


# Gradients of the reconstruction loss, as functions of the input.


def decoder_gradient_lipschitz(
    B: Quantity, L_decoder: Quantity, L_decoder_gradient: Quantity, residual: Quantity, L_latent: Quantity
) -> Quantity:
    """Bound 2[B + (B L_f + ρ L_g) L_u] for x ↦ ∂loss/∂θ_D of one decoder.

    Corrects Theorem 3.1 of paper A; proof: page "lipschitz/reconstruction".

    Parameters
    ----------
    B: bound on ‖∂D/∂θ_D‖.
    L_decoder, L_decoder_gradient: Lipschitz constants in the latent u of D and of ∂D/∂θ_D (L_f, L_g).
    residual: bound ρ on ‖x − D(u)‖, not on ‖x‖.
    L_latent: Lipschitz constant L_u of all inputs ↦ u.
    """
    _nonnegative(B=B, L_decoder=L_decoder, L_decoder_gradient=L_decoder_gradient, residual=residual, L_latent=L_latent)
    return 2 * (B + (B * L_decoder + residual * L_decoder_gradient) * L_latent)


def decoder_gradient_lipschitz_paper(
    B: Quantity,
    L_decoder: Quantity,
    L_decoder_gradient: Quantity,
    C: Quantity,
    L_aggregation: Quantity,
    L_encoder: Quantity,
) -> Quantity:
    """2[B + B L_f + C L_g] L_agg L_E as printed in Theorem 3.1 and Eq. (29) of paper A, with C a bound on ‖x‖."""
    _nonnegative(
        B=B, L_decoder=L_decoder, L_decoder_gradient=L_decoder_gradient, C=C, L_aggregation=L_aggregation,
        L_encoder=L_encoder,
    )  # fmt: skip
    return 2 * (B + B * L_decoder + C * L_decoder_gradient) * L_aggregation * L_encoder


def encoder_gradient_lipschitz(
    B: Quantity,
    L_decoders: Sequence[Quantity],
    L_decoder_gradients: Sequence[Quantity],
    residuals: Sequence[Quantity],
    L_latent: Quantity,
    L_latent_gradient: Quantity,
) -> Quantity:
    """Bound 2{B √(Σ L_i²) + Σ_i [L_i² B L_u + ρ_i G_i B L_u + ρ_i L_i H]} for x ↦ ∂loss/∂θ_E of one encoder.

    Corrects Theorem 3.2 of paper A; proof: page "lipschitz/reconstruction". The root replaces the plain sum B Σ L_i,
    because the residuals read different parts of x.

    Parameters
    ----------
    B: bound on ‖∂u/∂θ_E‖.
    L_decoders, L_decoder_gradients, residuals: per decoder, the Lipschitz constants in u of D_i and of ∂D_i/∂u
        (L_i, G_i) and a bound ρ_i on ‖x_i − D_i(u)‖; three sequences of one length.
    L_latent, L_latent_gradient: Lipschitz constants of all inputs ↦ u and ↦ ∂u/∂θ_E (L_u, H).
    """
    _nonnegative(B=B, L_latent=L_latent, L_latent_gradient=L_latent_gradient)
    slopes, bends, gaps = _together(L_decoders=L_decoders, L_decoder_gradients=L_decoder_gradients, residuals=residuals)
    rest = sum(
        (slope**2 + gap * bend) * B * L_latent + gap * slope * L_latent_gradient
        for slope, bend, gap in zip(slopes, bends, gaps, strict=True)
    )
    return 2 * (B * _root(_sum_of_squares(slopes)) + rest)


def encoder_gradient_lipschitz_paper(
    B: Quantity,
    L_decoders: Sequence[Quantity],
    L_decoder_gradients: Sequence[Quantity],
    C: Quantity,
    L_aggregation: Quantity,
    L_aggregation_gradient: Quantity,
) -> Quantity:
    """2 Σ_i [L_i B + L_i² B L_agg + C G_i B + C L_i H] as printed in Theorem 3.2 and Eq. (38) of paper A.

    C bounds ‖x_i‖; the other letters as in `encoder_gradient_lipschitz`.
    """
    _nonnegative(B=B, C=C, L_aggregation=L_aggregation, L_aggregation_gradient=L_aggregation_gradient)
    slopes, bends = _together(L_decoders=L_decoders, L_decoder_gradients=L_decoder_gradients)
    return 2 * sum(
        slope * B + slope**2 * B * L_aggregation + C * bend * B + C * slope * L_aggregation_gradient
        for slope, bend in zip(slopes, bends, strict=True)
    )


# Dispatch and checks.


def _root(value: Quantity) -> Quantity:
    if isinstance(value, sympy.Basic):
        return sympy.sqrt(value)
    if isinstance(value, torch.Tensor):
        return torch.sqrt(value)
    return np.sqrt(value) if isinstance(value, np.ndarray | np.generic) else math.sqrt(value)


def _largest(values: Sequence[Quantity]) -> Quantity:
    if any(isinstance(value, sympy.Basic) for value in values):
        return sympy.Max(*values)
    if any(isinstance(value, torch.Tensor) for value in values):
        like = next(value for value in values if isinstance(value, torch.Tensor))
        return reduce(torch.maximum, [torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in values])
    if any(isinstance(value, np.ndarray) for value in values):
        return reduce(np.maximum, values)
    return max(values)


def _sum_of_squares(values: Sequence[Quantity]) -> Quantity:
    return sum(value**2 for value in values)


def _finite(name: str, value: Quantity) -> None:
    try:
        if isinstance(value, sympy.Basic):
            fine = not value.is_number or bool(value.is_finite)
        else:
            fine = bool((torch if isinstance(value, torch.Tensor) else np).isfinite(value).all())
    except TypeError as error:
        raise ValueError(f"{name} must be a number, symbol, array or tensor, got {value!r}") from error
    if not fine:
        raise ValueError(f"{name} must be finite, got {value}")


def _at_least(least: int, **quantities: Quantity) -> None:
    for name, value in quantities.items():
        _finite(name, value)
        low = value < least
        if bool(low.any()) if hasattr(low, "any") else low == True:  # noqa: E712 (a symbol's comparison stays open)
            raise ValueError(f"{name} must be at least {least}, got {value}")


def _nonnegative(**quantities: Quantity) -> None:
    _at_least(0, **quantities)


def _positive(**quantities: Quantity) -> None:
    _nonnegative(**quantities)
    for name, value in quantities.items():
        zero = value == 0
        if bool(zero.any()) if hasattr(zero, "any") else bool(zero):
            raise ValueError(f"{name} must be positive, got {value}")


def _constants(constants: Iterable[Quantity], name: str = "constants") -> list[Quantity]:
    if not isinstance(constants, Iterable) or isinstance(constants, str):
        raise ValueError(f"{name} must be a sequence with one constant per modality, got {constants!r}")
    values = list(constants)
    if not values:
        raise ValueError(f"{name} is empty; wants one constant per modality, at least one")
    for position, value in enumerate(values):
        _nonnegative(**{f"{name}[{position}]": value})
    return values


def _together(**sequences: Sequence[Quantity]) -> list[list[Quantity]]:
    lists = {name: _constants(values, name) for name, values in sequences.items()}
    if len({len(values) for values in lists.values()}) != 1:
        lengths = ", ".join(f"{name} has {len(values)}" for name, values in lists.items())
        raise ValueError(f"one entry per decoder wanted in each sequence: {lengths}")
    return list(lists.values())
