"""What is compared between variants of an experiment: one number per seed, NaN where the run diverged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmfusion import statistics
from mmfusion.experiment import Experiment
from mmfusion.measure.convergence import head_start

WHOLE = "end_to_end/lower"


def constant(experiment: Experiment, variant: str, name: str = WHOLE) -> dict[int, float]:
    """A Lipschitz constant at the end of training, by default that of the whole autoencoder from below."""
    return experiment.at_end(variant, "measures", name)


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


def gradient(experiment: Experiment, variant: str, part: str) -> dict[int, float]:
    """Constant of the gradient in the parameters of ``encoder`` or ``decoder`` per disturbance of the input:
    geometric mean over modalities and over the measurements after the first."""
    names = [f"gradient/{part}/{m}" for m in experiment.modalities]
    logs = [np.log10(experiment.series(variant, "measures", name).iloc[1:]) for name in names]
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


def growth(experiment: Experiment, variant: str, name: str) -> dict[int, float]:
    """Decades by which a constant grows from the middle of training to its end; positive while it still rises.

    The middle is the measurement halfway between the first and the last. NaN with fewer than three measurements.
    """
    table = experiment.series(variant, "measures", name)
    found = {}
    for seed in experiment.seeds:
        values = table[seed].dropna() if seed in table else ()
        whole = len(values) > 2
        found[seed] = math.log10(values.iloc[-1] / values.iloc[len(values) // 2]) if whole else math.nan
    return found


def _over(experiment: Experiment, variant: str, names: Sequence[str], reduce) -> dict[int, float]:
    if not names:
        raise ValueError(f"no constant of {variant!r} is named")
    ends = [constant(experiment, variant, name) for name in names]
    return {
        s: reduce(values) if all(map(math.isfinite, values := [end[s] for end in ends])) else math.nan
        for s in experiment.seeds
    }
