"""How fast a loss falls, in epochs and independently of where it ends."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["epochs_to_level", "head_start"]

Losses = Sequence[float | int]


def epochs_to_level(losses: Losses, level: float | int) -> float:
    """Epochs until the loss is first at or below ``level``; infinite if it never is.

    Parameters
    ----------
    losses : one positive value per epoch, the untrained model first.
    level : positive loss to reach.

    Between two epochs the loss is taken to fall geometrically. Raises ``ValueError`` on values that are not positive
    and finite, or on no value at all.
    """
    values = _checked(losses)
    if not (math.isfinite(level) and level > 0):
        raise ValueError(f"the level must be positive and finite; got {level}")
    if values[0] <= level:
        return 0.0
    for epoch, (before, after) in enumerate(zip(values[:-1], values[1:], strict=True)):
        if after <= level:
            return epoch + math.log(before / level) / math.log(before / after)
    return math.inf


def head_start(left: Losses, right: Losses) -> float:
    """Epochs that ``left`` needs more than ``right`` to reach the best level that both reach.

    The level is the larger of the two smallest losses, so that both numbers are finite and the better final loss alone
    gives no advantage. Negative where ``left`` is faster.
    """
    level = max(min(_checked(left)), min(_checked(right)))
    return epochs_to_level(left, level) - epochs_to_level(right, level)


def _checked(losses: Losses) -> list[float]:
    values = [float(value) for value in losses]
    if not values or not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError("losses must be positive and finite, at least one of them")
    return values
