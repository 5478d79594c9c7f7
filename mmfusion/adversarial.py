"""Adversarial alignment: the gradient penalty on a critic, and what a critic so penalised computes.

Paper C is the paper on class-conditional autoencoders, discriminative embedding and adversarial alignment; the penalty
is that of WGAN-GP (Gulrajani et al., 2017). Proofs: page "alignment/critic".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["gradient_penalty", "penalised_distance", "penalised_slope"]

# Inside the square root of the gradient's length, whose derivative at 0 would be infinite.
_TINY = 1e-12
_MIXING = torch.nn.modules.batchnorm._BatchNorm

# A number, a SymPy expression, an array or a tensor.
Quantity = Any


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    codes: Float[Tensor, "batch ..."],
    fused: Float[Tensor, "same ..."],
    weight: float | int = 10.0,
    *,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """weight · mean (‖∇D(x̂)‖ − 1)² at x̂ between a code and a fused code: Eq. (13) of paper C. Never negative.

    *Subtract* it where the critic is maximised, E D(c) − E D(z) − penalty, and add it where the critic's negative is
    minimised. Eq. (14) prints a plus before the maximum; then the critic's slope runs away.

    Parameters
    ----------
    critic: maps a batch like `codes` to one number per sample, (batch,) or (batch, 1), each from its own sample
        alone; batch normalisation would mix samples and is refused.
    codes, fused: one batch each, same shape; features of any shape. They are detached: the penalty trains the
        critic only.
    weight: λ_gp, not negative.
    generator: source of the positions, one per sample, uniform between code and fused code.

    Raises
    ------
    ValueError: batches or features that differ in shape, an empty batch, a negative weight, batch normalisation in
        training mode, or a critic with another output shape.
    """
    if codes.shape != fused.shape:
        raise ValueError(
            f"the penalty pairs codes with fused codes and wants equal shapes, batch size included; got "
            f"{tuple(codes.shape)} and {tuple(fused.shape)}"
        )
    if codes.ndim < 2 or 0 in codes.shape:
        raise ValueError(f"codes must have shape (batch, ...), at least one sample and feature; got {codes.shape}")
    if not weight >= 0:
        raise ValueError(f"the weight of the penalty must not be negative, got {weight}")
    mixing = [m for m in critic.modules() if isinstance(m, _MIXING)] if isinstance(critic, torch.nn.Module) else []
    if any(module.training for module in mixing):
        raise ValueError(
            f"the critic mixes samples by {type(mixing[0]).__name__}, so its gradient at one sample is no slope; "
            "use layer normalisation or none"
        )
    shape = (len(codes), *[1] * (codes.ndim - 1))
    position = torch.rand(shape, generator=generator, dtype=codes.dtype, device=codes.device)
    between = torch.lerp(fused.detach(), codes.detach(), position).requires_grad_(True)
    with torch.enable_grad():
        values = critic(between)
        if values.shape not in ((len(codes),), (len(codes), 1)):
            raise ValueError(f"the critic returned shape {tuple(values.shape)}, wanted one number per sample")
        (gradient,) = torch.autograd.grad(values.sum(), between, create_graph=True)
    length = (gradient.flatten(1).square().sum(dim=1) + _TINY).sqrt()
    return weight * (length - 1).square().mean()


def penalised_slope(distance: Quantity, weight: Quantity) -> Quantity:
    """1 + W₁/(2λ), the slope of the best penalised critic between two points at distance W₁; above 1, though the
    penalty is there to keep it at 1. Raises `ValueError` on a negative distance or a weight that is not positive."""
    _checked(distance, weight)
    return 1 + distance / (2 * weight)


def penalised_distance(distance: Quantity, weight: Quantity) -> Quantity:
    """W₁ + W₁²/(4λ): what the best critic reaches at least in the penalised objective of WGAN-GP, for any two laws, and
    exactly for two points. Same errors as :func:`penalised_slope`."""
    _checked(distance, weight)
    return distance + distance**2 / (4 * weight)


def _checked(distance: Quantity, weight: Quantity) -> None:
    for name, value, wrong in (("distance", distance, distance < 0), ("weight", weight, weight <= 0)):
        bad = wrong.any() if hasattr(wrong, "any") else wrong
        if bad == True:  # noqa: E712  (a symbol's sign may be unknown)
            wanted = "not be negative" if name == "distance" else "be positive"
            raise ValueError(f"the {name} must {wanted}, got {value}")
