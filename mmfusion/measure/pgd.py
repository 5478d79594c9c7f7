"""Projected gradient ascent on an input within a ball of the maximum norm (PGD).

Paper B (Understanding Multimodal Learning: A Loss Landscape Smoothness Perspective), Appendix C.6; the attack of Madry
et al. (2018). How far it can get: page "landscape/flatness-measures".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["projected_ascent", "reach"]


def reach(radius: float, step: float, steps: int) -> float:
    """The farthest that any entry can move from the start: min(radius, steps · step), without a random start."""
    _check(radius, step, steps)
    return min(float(radius), float(step) * int(steps))


def projected_ascent(
    loss: Callable[[Tensor], Tensor], start: Float[Tensor, "*shape"], radius: float, step: float, steps: int,
    *, random_start: bool = False, generator: torch.Generator | None = None,
) -> Float[Tensor, "*shape"]:  # fmt: skip
    """x ← Π(x + step · sign ∇loss(x)), where Π clips every entry to within `radius` of its start.

    loss: maps inputs of the shape of `start` to a scalar (sum over a batch, so that samples do not mix).
    random_start: begin at a uniformly random point of the ball; paper B's formula begins at the input.
    Raises `ValueError` on a negative radius, step or number of steps.
    """
    _check(radius, step, steps)
    origin = start.detach()
    point = origin
    if random_start:
        point = origin + radius * (2 * torch.rand(origin.shape, generator=generator, dtype=origin.dtype) - 1)
    for _ in range(steps):
        point = point.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(loss(point), point)
        moved = point.detach() + step * slope.sign()
        point = origin + (moved - origin).clamp(-radius, radius)
    return point.detach()


def _check(radius: float, step: float, steps: int) -> None:
    if not (radius >= 0 and step >= 0 and steps >= 0):
        raise ValueError(f"radius, step and steps must not be negative, got {radius}, {step} and {steps}")
