"""Adversarial search: batched gradient ascent from many starts, for attacking a claimed bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Attack", "ascend"]


@dataclass(frozen=True)
class Attack:
    """What a search found: the best value of each start, and where.

    Attributes
    ----------
    values: (starts,) largest objective seen on each start's path.
    initial: (starts,) objective before the ascent, so that one sees what the search gained.
    arguments: named tensors, leading axis starts, at which `values` were reached.
    """

    values: Float[Tensor, " starts"]
    initial: Float[Tensor, " starts"]
    arguments: dict[str, Tensor]

    @property
    def worst(self) -> float:
        """The largest value found over all starts."""
        return self.values.max().item()

    def at_worst(self) -> dict[str, Tensor]:
        """The arguments of the largest value, without the leading axis."""
        index = self.values.argmax()
        return {name: tensor[index] for name, tensor in self.arguments.items()}


def ascend(
    objective: Callable[[dict[str, Tensor]], Tensor],
    start: Mapping[str, Tensor],
    steps: int = 300,
    learning_rate: float | int = 0.05,
) -> Attack:
    """Maximise `objective` from every start at once by Adam, keeping the best point of each path.

    Parameters
    ----------
    objective: maps the named arguments, each with a leading axis of length `starts`, to values of shape (starts,).
        Constraints belong inside (normalise or clamp there); values that are not finite count as −∞.
    start: named float64 tensors; the i-th start reads the i-th row of each.
    steps, learning_rate: of Adam with a cosine schedule down to 0.

    Raises
    ------
    ValueError: no start, tensors that are not float64, negative `steps`, or an objective of another shape or one
        through which no gradient reaches the arguments.
    """
    lengths = {name: tensor.shape[0] for name, tensor in start.items() if tensor.ndim}
    if len(lengths) != len(start) or len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(f"every argument needs the same number of starts ≥ 1 on its first axis; given {lengths}")
    single = [name for name, tensor in start.items() if tensor.dtype != torch.float64]
    if single:
        raise ValueError(f"arguments must be float64; {', '.join(single)} are not")
    if steps < 0:
        raise ValueError(f"steps must be at least 0, given {steps}")
    count = next(iter(lengths.values()))
    point = {name: tensor.detach().clone().requires_grad_(True) for name, tensor in start.items()}
    optimiser = torch.optim.Adam(point.values(), lr=learning_rate, maximize=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
    best = torch.full((count,), -torch.inf, dtype=torch.float64)
    kept = {name: tensor.detach().clone() for name, tensor in point.items()}
    initial = best
    for step in range(steps + 1):
        values = objective(point)
        if values.shape != (count,):
            raise ValueError(f"the objective returned shape {tuple(values.shape)}, wanted ({count},)")
        if steps and not values.requires_grad:
            raise ValueError("no gradient reaches the arguments: the objective must use them, and not under no_grad")
        now = torch.where(values.detach().isfinite(), values.detach(), -torch.inf)
        if step == 0:
            initial = now.clone()
        better = now > best
        best = torch.where(better, now, best)
        for name, tensor in point.items():
            mask = better.reshape(-1, *[1] * (tensor.ndim - 1))
            kept[name] = torch.where(mask, tensor.detach(), kept[name])
        if step < steps:
            optimiser.zero_grad()
            torch.where(values.isfinite(), values, 0.0).sum().backward()
            for tensor in point.values():
                if tensor.grad is not None:
                    tensor.grad.nan_to_num_(0.0, 0.0, 0.0)
            optimiser.step()
            schedule.step()
    return Attack(best, initial, kept)
