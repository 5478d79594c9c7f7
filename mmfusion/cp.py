"""Sums of products: canonical polyadic (CP) tensors, how to fit them and how to tell their factors apart.

A tensor of rank at most r is Σ_i a_i ⊗ b_i ⊗ c_i ⊗ …; its factors are kept as matrices (r, size), one row a term.
With two modalities and c outputs the low-rank fusion of paper D, ŷ = Θ((W_v z̃_v) ⊙ (W_t z̃_t)), is the CP tensor with
factors W_v, W_t and Θᵀ. Pages: "lowrank/tensor-identity" and "lowrank/identifiability".

Paper D is Sinha, Robustness and Geometry in Low-Rank Multimodal Fusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from string import ascii_letters

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

__all__ = ["als", "congruence", "cp_rows", "cp_tensor", "jennrich", "kruskal_rank"]

Factor = Float[Tensor, "rank _"]


def cp_tensor(factors: Sequence[Float[Tensor, "... rank _"]]) -> Tensor:
    """The tensor Σ_i ⊗_m factors[m][i], of shape (..., size of each factor); leading axes are batches.

    Raises ValueError for no factor, or factors of different rank.
    """
    if not factors:
        raise ValueError("cp_tensor wants at least one factor, got none")
    ranks = [factor.shape[-2] for factor in factors]
    if len(set(ranks)) > 1:
        raise ValueError(f"all factors must have one row per term, got ranks {ranks}")
    letters = ascii_letters[1 : len(factors) + 1]
    return torch.einsum(",".join(f"...a{x}" for x in letters) + f"->...{letters}", *factors)


def kruskal_rank(factor: Factor, tolerance: float = 1e-9) -> int:
    """Largest k such that every k rows are linearly independent (Kruskal 1977); 0 where a row vanishes.

    Every subset is tried, which is meant for small factors. `tolerance` is relative to the largest singular value.
    """
    rows = factor.shape[0]
    floor = float(tolerance) * torch.linalg.matrix_norm(factor, ord=2).item()
    for k in range(1, rows + 1):
        for chosen in combinations(range(rows), k):
            # More rows than columns: dependent, though the smallest of the singular values that exist is not small.
            if k > factor.shape[1] or torch.linalg.svdvals(factor[list(chosen)])[-1] <= floor:
                return k - 1
    return rows


def jennrich(tensor: Float[Tensor, "left right outputs"], rank: int, seed: int = 0) -> tuple[Factor, Factor, Factor]:
    """The factors (rank, left), (rank, right), (rank, outputs) of a tensor of exactly this rank, up to order and scale.

    Simultaneous diagonalisation (Jennrich in Harshman 1970; Leurgans, Ross and Abel 1993): for two mixtures S₁, S₂ of
    the output slices, S₁ S₂⁺ has the left factors as eigenvectors. Their condition: left and right factors are
    linearly independent, and no two columns of the output factor are parallel; so at least two outputs.

    Raises
    ------
    ValueError: values that are not finite, rank below 1 or above min(left, right), fewer than two outputs, or a tensor
        that does not have independent left and right factors of this rank with real, distinct quotients.
    """
    if not torch.isfinite(tensor).all():
        raise ValueError("the tensor holds values that are NaN or infinite; wants finite")
    left, right, outputs = tensor.shape
    if not 1 <= rank <= min(left, right):
        raise ValueError(f"rank must lie in 1 … {min(left, right)} for slices {left} x {right}, got {rank}")
    if outputs < 2:
        raise ValueError("one output does not determine its factors; Jennrich's algorithm wants at least two outputs")
    generator = torch.Generator().manual_seed(seed)
    mixes = torch.randn(2, outputs, generator=generator, dtype=tensor.dtype)
    first, second = torch.einsum("abk,mk->mab", tensor, mixes)
    u, s, vh = torch.linalg.svd(second)
    if s[rank - 1] <= 1e-10 * s[0]:
        raise ValueError(f"the tensor's slices have rank below {rank}")
    inside = u[:, :rank].T @ first @ vh[:rank].T / s[:rank]
    values, vectors = torch.linalg.eig(inside)
    gaps = (values[:, None] - values[None, :]).abs() + torch.eye(rank) * values.abs().max()
    if values.imag.abs().max() > 1e-7 * values.abs().max() or gaps.min() <= 1e-7 * values.abs().max():
        raise ValueError("two quotients of the output factor coincide or are not real: the factors are not determined")
    a = (u[:, :rank] @ vectors.real).T
    # With the left factors known, what is left is linear: each term's right ⊗ output matrix, of rank one.
    terms = torch.linalg.pinv(a.T) @ tensor.flatten(1)
    b_u, b_s, b_vh = torch.linalg.svd(terms.unflatten(1, (right, outputs)))
    scale = b_s[:, :1].sqrt()
    return a, b_u[:, :, 0] * scale, b_vh[:, 0] * scale


def congruence(found: Sequence[Factor], true: Sequence[Factor]) -> Float[Tensor, " rank"]:
    """Tucker's congruence of matched terms: product over the factors of |cos|, one value per term of `true`.

    Terms are matched one to one so that the sum is largest; 1 for all means equal up to order and scale.
    """
    unit = [[f / f.norm(dim=-1, keepdim=True).clamp_min(1e-300) for f in side] for side in (true, found)]
    cosines = torch.stack([(a @ b.T).abs() for a, b in zip(*unit, strict=True)]).prod(0)
    rows, columns = linear_sum_assignment(-cosines.numpy())
    return cosines[np.asarray(rows), np.asarray(columns)]


def als(
    tensor: Tensor, rank: int, starts: int, sweeps: int = 200, ridge: float | int = 0.0, seed: int = 0
) -> tuple[list[Float[Tensor, "starts rank _"]], Float[Tensor, " starts"]]:
    """Fit a CP tensor by alternating least squares from several random starts at once.

    Parameters
    ----------
    tensor: float64, of order two or more.
    rank, starts, sweeps: of the fit; each at least 1.
    ridge: weight of the squared norm of the factors; keeps them bounded where no best fit exists.

    Returns the factors, each (starts, rank, size), and the relative residual of each start.
    """
    for name, value in (("rank", rank), ("starts", starts), ("sweeps", sweeps)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if tensor.ndim < 2:
        raise ValueError(f"als wants a tensor of order two or more, got shape {tuple(tensor.shape)}")
    generator = torch.Generator().manual_seed(seed)
    factors = [torch.randn(starts, rank, n, generator=generator, dtype=tensor.dtype) for n in tensor.shape]
    # A whiff of ridge keeps the normal equations solvable where two terms have merged.
    weight = max(float(ridge), 1e-13) * torch.eye(rank, dtype=tensor.dtype)
    for _ in range(sweeps):
        for mode in range(tensor.ndim):
            others = [f for m, f in enumerate(factors) if m != mode]
            gram = torch.stack([f @ f.mT for f in others]).prod(0)
            flat = tensor.movedim(mode, 0).flatten(1)
            design = cp_rows(others)
            factors[mode] = torch.linalg.solve(gram + weight, design @ flat.T)
    rest = (cp_tensor(factors) - tensor).flatten(1).norm(dim=-1) / tensor.norm()
    return factors, rest


def cp_rows(factors: Sequence[Float[Tensor, "*rows _"]]) -> Float[Tensor, "*rows cells"]:
    """Row i is the outer product of the i-th rows, flattened (the row-wise Khatri–Rao product)."""
    rows = factors[0]
    for factor in factors[1:]:
        rows = (rows.unsqueeze(-1) * factor.unsqueeze(-2)).flatten(-2)
    return rows
