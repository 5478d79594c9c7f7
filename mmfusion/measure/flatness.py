"""Measures of how flat a loss is around a point of parameter space.

All take a loss of one flat parameter vector and that vector, shape (parameter,). Paper B (Understanding Multimodal
Learning: A Loss Landscape Smoothness Perspective, section 5.1) reports the largest eigenvalue, the eigenvalue quotient,
the low-pass discrepancy and the gap on a sphere. None of these is a property of the function that the network computes;
`relative=True` gives the variant that does not change when parameters are rescaled. Proofs: page
"landscape/flatness-measures".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["curvatures", "eigenvalue_quotient", "low_pass_gap", "sphere_gap"]

Loss = Callable[[Tensor], Tensor]


def curvatures(loss: Loss, point: Tensor, *, relative: bool = False) -> Float[Tensor, " parameter"]:
    """Eigenvalues of the Hessian H, largest first; of diag(θ) H diag(θ) if `relative`.

    The Hessian is dense: for models of up to a few thousand parameters. Raises `ValueError` on a point that is not one
    finite vector.
    """
    point = _vector(point)
    hessian = torch.func.hessian(loss)(point)
    if relative:
        hessian = point[:, None] * hessian * point
    return torch.linalg.eigvalsh(hessian).flip(0)


def eigenvalue_quotient(eigenvalues: Tensor, rank: int = 5) -> float:
    """λ_max / λ_rank, the λ* of paper B for rank 5: 1 where the largest curvatures are equal, of whatever size.

    eigenvalues: shape (parameter,), any order. Raises `ValueError` on fewer than `rank` of them, a rank below 1, or
    where λ_rank is not positive: the quotient then measures nothing.
    """
    eigenvalues = _vector(eigenvalues)
    if rank < 1 or len(eigenvalues) < rank:
        raise ValueError(f"rank must lie from 1 to the number of eigenvalues, {len(eigenvalues)}; got {rank}")
    ordered = eigenvalues.sort(descending=True).values
    if not ordered[rank - 1] > 0:
        raise ValueError(f"eigenvalue {rank} must be positive, got {ordered[rank - 1].item():.4g}")
    return (ordered[0] / ordered[rank - 1]).item()


def low_pass_gap(
    loss: Loss, point: Tensor, sigma: float, draws: int = 100, *, relative: bool = False,
    generator: torch.Generator | None = None,
) -> float:  # fmt: skip
    """Mean of loss(θ + σξ) − loss(θ) over Gaussian ξ, the Δ_LPF of paper B; ξ_i is multiplied by θ_i if `relative`.

    Every ξ is used with both signs, which removes the slope. Raises `ValueError` on a negative sigma or no draw.
    """
    point = _vector(point)
    _positive(sigma, draws)
    noise = sigma * torch.randn(draws, len(point), generator=generator, dtype=point.dtype)
    noise = torch.cat([noise, -noise]) * (point if relative else 1.0)
    return (torch.stack([loss(point + step) for step in noise]).mean() - loss(point)).item()


def sphere_gap(
    loss: Loss, point: Tensor, radius: float, draws: int = 100, *,
    generator: torch.Generator | None = None,
) -> float:  # fmt: skip
    """Mean of |loss(θ′) − loss(θ)| over the sphere ‖θ′ − θ‖ = radius, the F_gap of paper B as it is meant.

    Raises `ValueError` on a negative radius or no draw.
    """
    point = _vector(point)
    _positive(radius, draws)
    steps = torch.randn(draws, len(point), generator=generator, dtype=point.dtype)
    steps = radius * steps / steps.norm(dim=1, keepdim=True)
    return (torch.stack([loss(point + step) for step in steps]) - loss(point)).abs().mean().item()


def _vector(values: Tensor) -> Tensor:
    if values.ndim != 1 or not len(values) or not bool(torch.isfinite(values).all()):
        raise ValueError(f"wanted one vector of finite numbers, got shape {tuple(values.shape)} or other values")
    return values.detach()


def _positive(radius: float, draws: int) -> None:
    if radius < 0 or draws < 1:
        raise ValueError(f"wanted a radius of at least 0 and a draw or more; got {radius} and {draws}")
