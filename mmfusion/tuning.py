"""Choosing a setting, such as a learning rate, without looking at the seed that it is judged on.

The best of several noisy results looks better than it is. So for each seed the setting is chosen by the *other* seeds;
what the chosen one does on the seed left out is then a fair sample. Seeds share the test episodes, so a setting that
happens to suit these episodes is still favoured: alike for all methods with the same settings to choose from.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

__all__ = ["choose_on_itself", "leave_one_out", "taken"]

Setting = TypeVar("Setting", bound=Hashable)
Seed = TypeVar("Seed", bound=Hashable)
Table = Mapping[Setting, Mapping[Seed, float | int | None]]


def leave_one_out(losses: Table) -> dict[Seed, Setting]:
    """For each seed, the setting with the smallest mean loss over all other seeds.

    Parameters
    ----------
    losses : final loss by setting and seed; the same seeds for every setting. ``None``, NaN or infinity mark a run that
        diverged. A setting with fewer diverged runs is preferred whatever its mean; of equals, the one named first.

    Raises
    ------
    ValueError : no setting, settings with different seeds, or fewer than two seeds.
    """
    seeds = _seeds(losses)
    if len(seeds) < 2:
        raise ValueError(f"leaving one seed out needs at least 2 seeds, got {len(seeds)}")
    return {
        out: min(losses, key=lambda setting: _rank(losses[setting], [s for s in seeds if s != out])) for out in seeds
    }


def choose_on_itself(losses: Table) -> dict[Seed, Setting]:
    """For each seed, the setting that is best on this very seed: what :func:`leave_one_out` avoids.

    Parameters and errors as there, but one seed is enough.
    """
    return {seed: min(losses, key=lambda setting: _rank(losses[setting], [seed])) for seed in _seeds(losses)}


def taken(values: Table, chosen: Mapping[Seed, Setting]) -> dict[Seed, float]:
    """The value of each seed under the setting chosen for it; NaN where that run diverged.

    Raises
    ------
    ValueError : a value that was chosen is not there.
    """
    result = {}
    for seed, setting in chosen.items():
        if setting not in values or seed not in values[setting]:
            raise ValueError(f"no value for setting {setting!r} with seed {seed!r}")
        value = values[setting][seed]
        result[seed] = math.nan if value is None or not math.isfinite(value) else float(value)
    return result


def _seeds(losses: Table) -> list[Seed]:
    if not losses:
        raise ValueError("choosing needs at least one setting, got none")
    first = next(iter(losses.values()))
    for setting, of_setting in losses.items():
        if set(of_setting) != set(first):
            odd = ", ".join(sorted(map(str, set(of_setting) ^ set(first))))
            raise ValueError(f"settings must have the same seeds; {setting!r} differs from the first in: {odd}")
    return list(first)


def _rank(losses: Mapping[Seed, float | int | None], seeds: list[Seed]) -> tuple[int, float]:
    """Diverged runs first, then the mean of the others."""
    kept = [v for v in (losses[seed] for seed in seeds) if v is not None and math.isfinite(v)]
    return len(seeds) - len(kept), math.fsum(kept) / len(kept) if kept else math.inf
