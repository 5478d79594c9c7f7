"""What is compared between variants of an experiment: one number per seed, NaN where the run diverged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmfusion import statistics
from mmfusion.experiment import Experiment
from mmfusion.measure.convergence import head_start
from mmfusion.objectives import explained_variance

WHOLE = "end_to_end/lower"
DEAD = 1e-6  # in place of a constant of zero, that of a part which ignores its input: zero has no logarithm


def constant(experiment: Experiment, variant: str, name: str = WHOLE) -> dict[int, float]:
    """A Lipschitz constant at the end of training, by default that of the whole autoencoder from below; one of zero
    counts as ``DEAD``."""
    ends = experiment.at_end(variant, "measures", name)
    return {seed: value if math.isnan(value) else max(value, DEAD) for seed, value in ends.items()}


def silent(experiment: Experiment, variants: Sequence[str]) -> tuple[int, int]:
    """How many encoders and decoders ignore their input at the end of training, and of how many."""
    each = [constant(experiment, variant, part) for variant in variants for part in parts(experiment)]
    ends = [value for by_seed in each for value in by_seed.values()]
    return sum(v <= DEAD for v in ends), sum(not math.isnan(v) for v in ends)


def final_loss(experiment: Experiment, variant: str, name: str = "total", kind: str = "test") -> dict[int, float]:
    """The last loss: ``total`` or one modality's, of ``test`` or ``train``."""
    return experiment.at_end(variant, kind, name)


def spread(experiment: Experiment, variant: str, kind: str = "test", name: str = "total") -> dict[int, float]:
    """Distance of a seed's logarithmic final loss from the median over seeds, in decades (Brown and Forsythe)."""
    values = final_loss(experiment, variant, name, kind)
    return statistics.deviations({seed: math.log10(value) for seed, value in values.items()})


def later(experiment: Experiment, left: str, right: str, name: str = "total", kind: str = "test") -> dict[int, float]:
    """Epochs that ``left`` needs more than ``right`` to the lowest loss that both reach; negative is faster."""
    a, b = experiment.series(left, kind, name), experiment.series(right, kind, name)
    return {
        s: head_start(a[s].dropna().tolist(), b[s].dropna().tolist()) if s in a and s in b else math.nan
        for s in experiment.seeds
    }


def explained(experiment: Experiment, variant: str, modality: str) -> dict[int, float]:
    """R² of one modality on held-out data, see :func:`mmfusion.objectives.explained_variance`.

    Raises ``ValueError`` for records without the error of the training mean.
    """
    unit = experiment.found[0].get("baseline", {}).get(modality)
    if unit is None:
        raise ValueError(f"the records of {experiment.name!r} lack the unit of R²; train again")
    losses = final_loss(experiment, variant, modality)
    return {seed: v if math.isnan(v) else explained_variance(v, unit) for seed, v in losses.items()}


def falling(experiment: Experiment, variant: str, name: str = "total", kind: str = "test") -> float:
    """Share by which a loss still fell over the last quarter of training, median over seeds; negative where it rose.
    NaN where every run diverged."""
    curve = experiment.series(variant, kind, name)
    if not len(curve):
        return math.nan
    return float(1 - (curve.iloc[-1] / curve.iloc[max(len(curve) * 3 // 4 - 1, 0)]).median())


def gradient(experiment: Experiment, variant: str, part: str) -> dict[int, float]:
    """Constant of the gradient in the parameters of ``encoder`` or ``decoder`` per disturbance of the input:
    geometric mean over modalities and over the measurements after the first."""
    names = [f"gradient/{part}/{m}" for m in experiment.modalities]
    logs = [np.log10(experiment.series(variant, "measures", name).iloc[1:].clip(lower=DEAD)) for name in names]
    mean = sum(logs).mean() / len(logs)
    return {seed: float(10 ** mean[seed]) if seed in mean else math.nan for seed in experiment.seeds}


def parts(experiment: Experiment, which: Sequence[str] = ("encoder", "decoder")) -> list[str]:
    """Names of the constants of all encoders and decoders."""
    return [f"{part}/{m}/lower" for part in which for m in experiment.modalities]


def largest(experiment: Experiment, variant: str, names: Sequence[str]) -> dict[int, float]:
    """The largest of several final constants."""
    return _over(experiment, variant, names, max)


def geometric_mean(experiment: Experiment, variant: str, names: Sequence[str]) -> dict[int, float]:
    """The geometric mean of several final constants."""
    return _over(experiment, variant, names, lambda values: float(np.exp(np.mean(np.log(values)))))


def growth(experiment: Experiment, variant: str, name: str, start: float = 0.5, stop: float = 1.0) -> dict[int, float]:
    """Decades by which a constant grows between two moments, as shares of the training; positive where it rises.

    The measurements nearest to the two moments count. NaN where they are the same. Raises ``ValueError`` for moments
    outside [0, 1] or in the wrong order.
    """
    if not 0 <= start < stop <= 1:
        raise ValueError(f"growth wants 0 <= start < stop <= 1, got {start} and {stop}")
    table = experiment.series(variant, "measures", name)
    found = dict.fromkeys(experiment.seeds, math.nan)
    for seed in table:
        values = table[seed].dropna().clip(lower=DEAD)
        first, last = (int(share * (len(values) - 1) + 0.5) for share in (start, stop))
        if first < last:
            found[seed] = math.log10(values.iloc[last] / values.iloc[first])
    return found


def climb(experiment: Experiment, variant: str, kind: str = "train", name: str = "total") -> dict[int, float]:
    """How far a loss goes up while it comes down: the rises from epoch to epoch, added, in decades. Zero for a curve
    that only falls, however steeply."""
    rises = np.log10(experiment.series(variant, kind, name)).diff().clip(lower=0).sum()
    return {seed: float(rises[seed]) if seed in rises else math.nan for seed in experiment.seeds}


def _over(experiment: Experiment, variant: str, names: Sequence[str], reduce) -> dict[int, float]:
    if not names:
        raise ValueError(f"no constant of {variant!r} is named")
    ends = [constant(experiment, variant, name) for name in names]
    return {
        s: reduce(values) if all(map(math.isfinite, values := [end[s] for end in ends])) else math.nan
        for s in experiment.seeds
    }
