"""Paired comparisons over seeds: effect, intervals, p-values, and Holm's correction for several at once.

Two methods are compared on the same seeds, so the unit is the pair. Runs that diverged have no value; they are counted
and reported, never silently dropped. Fewer than :data:`MINIMUM_PAIRS` pairs decide nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

MINIMUM_PAIRS = 5
Value = float | int | None
_SCALES = ("difference", "log10 ratio")


@dataclass(frozen=True)
class Comparison:
    """What paired seeds say about one effect. Numbers are on the scale named by ``scale``.

    Attributes
    ----------
    question : what was asked, in words.
    scale : ``"difference"``, left minus right, or ``"log10 ratio"``, the decimal logarithm of left over right.
    threshold : value of the effect that ``p``, ``p_sign`` and :meth:`side` compare with.
    n, excluded : pairs used; pairs left out because a run diverged.
    effect, low, high : mean over pairs and its Student t interval.
    bootstrap_low, bootstrap_high : percentile interval over resampled pairs, without the assumption of normality.
    p : two-sided paired t test, after :func:`holm` the corrected value. 1 where fewer than two pairs remain.
    p_sign : two-sided sign test; pairs at the threshold are dropped, as usual.
    positive : pairs above the threshold.
    level : confidence level of both intervals.
    """

    question: str
    scale: str
    threshold: float
    n: int
    excluded: int
    effect: float
    low: float
    high: float
    bootstrap_low: float
    bootstrap_high: float
    p: float
    p_sign: float
    positive: int
    level: float = 0.95

    @property
    def decides(self) -> bool:
        """Whether there are enough pairs for a decision."""
        return self.n >= MINIMUM_PAIRS

    def side(self, alpha: float | None = None) -> str:
        """``"above"`` or ``"below"`` the threshold if the interval and ``p < alpha`` both say so, else
        ``"undecided"``. ``alpha`` defaults to one minus the confidence level."""
        alpha = 1 - self.level if alpha is None else alpha
        if not self.decides or not self.p < alpha:
            return "undecided"
        return "above" if self.low > self.threshold else "below" if self.high < self.threshold else "undecided"

    def ratio(self) -> tuple[float, float, float]:
        """Geometric mean of left over right and its interval; only for ``"log10 ratio"``."""
        if self.scale != "log10 ratio":
            raise ValueError(f"a ratio needs scale 'log10 ratio'; this comparison has {self.scale!r}")
        return 10**self.effect, 10**self.low, 10**self.high

    def to_dict(self) -> dict[str, Any]:
        """All attributes as plain numbers and text."""
        return asdict(self)


def paired(
    question: str,
    left: Mapping[Any, Value] | Sequence[Value],
    right: Mapping[Any, Value] | Sequence[Value],
    *,
    scale: str = "difference",
    threshold: float | int = 0.0,
    level: float | int = 0.95,
    diverged: str = "exclude",
    resamples: int = 5000,
    seed: int = 0,
) -> Comparison:
    """Compare two methods over paired seeds.

    Parameters
    ----------
    question : what is asked; travels with the result.
    left, right : value per seed, as mappings with the same keys or as sequences of equal length. ``None``, NaN and
        infinity mark a run that diverged.
    scale : ``"difference"`` or ``"log10 ratio"``; the latter needs positive values.
    threshold : null value of the effect, on that scale.
    diverged : ``"exclude"`` leaves a pair out and counts it; ``"raise"`` refuses it.
    resamples, seed : of the bootstrap.

    Raises
    ------
    ValueError
        where the seeds differ, a value is not positive for a ratio, a run diverged under ``"raise"``, or fewer than two
        pairs remain.
    """
    if scale not in _SCALES:
        raise ValueError(f"scale must be one of {', '.join(_SCALES)}; got {scale!r}")
    if diverged not in ("exclude", "raise"):
        raise ValueError(f"diverged must be 'exclude' or 'raise'; got {diverged!r}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1; got {level}")
    first, second = _aligned(question, left, right)
    whole = np.isfinite(first) & np.isfinite(second)
    excluded = int((~whole).sum())
    if excluded and diverged == "raise":
        raise ValueError(f"{question}: {excluded} of {len(whole)} pairs hold a diverged run")
    first, second = first[whole], second[whole]
    if len(first) < 2:
        raise ValueError(f"{question}: needs at least 2 pairs without divergence; {len(first)} of {len(whole)} remain")
    if scale == "log10 ratio":
        smallest = min(first.min(), second.min())
        if smallest <= 0:
            raise ValueError(f"{question}: a ratio needs positive values; the smallest is {smallest}")
        effects = np.log10(first) - np.log10(second)
    else:
        effects = first - second
    low, high, p = _student(effects, threshold, level)
    boot_low, boot_high = _bootstrap(effects, level, resamples, seed)
    above, below = int((effects > threshold).sum()), int((effects < threshold).sum())
    p_sign = float(stats.binomtest(above, above + below).pvalue) if above + below else 1.0
    return Comparison(
        question, scale, float(threshold), len(effects), excluded, float(effects.mean()), low, high,
        boot_low, boot_high, p, p_sign, above, level,
    )  # fmt: skip


def holm(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """The same comparisons, each ``p`` corrected for all of them by Holm's step-down rule; order kept."""
    family = list(comparisons)
    return [replace(item, p=p) for item, p in zip(family, holm_p([c.p for c in family]), strict=True)]


def holm_p(values: Sequence[float | int]) -> list[float]:
    """Holm-corrected p-values, in the given order. Raises ``ValueError`` on a value outside [0, 1]."""
    array = np.asarray(values, dtype=float)
    if array.size and not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"p-values must lie in [0, 1]; got {list(values)}")
    order = np.argsort(array, kind="stable")
    steps = np.maximum.accumulate(array[order] * np.arange(len(array), 0, -1))
    corrected = np.empty_like(array)
    corrected[order] = np.minimum(steps, 1)
    return corrected.tolist()


def mean_interval(values: Sequence[Value], level: float = 0.95) -> tuple[float, float, float]:
    """Mean and Student t interval of one sample; the interval of a single value is the value. NaN is left out.

    Raises ``ValueError`` when nothing finite remains."""
    array = np.asarray([v for v in values if v is not None and math.isfinite(v)], dtype=float)
    if not len(array):
        raise ValueError("mean_interval needs at least one finite value")
    low, high, _ = _student(array, 0.0, level)
    return float(array.mean()), low, high


def deviations(values: Mapping[Any, Value]) -> dict[Any, float]:
    """Absolute distance of each value from the median, by seed: the larger, the less consistent.

    Comparing them in pairs is the paired form of Brown and Forsythe's test for equal spread. Values that are missing or
    not finite stay so. Raises ``ValueError`` when nothing finite remains.
    """
    numbers = {key: math.nan if value is None else float(value) for key, value in values.items()}
    finite = [value for value in numbers.values() if math.isfinite(value)]
    if not finite:
        raise ValueError("deviations needs at least one finite value")
    middle = float(np.median(finite))
    return {key: abs(value - middle) for key, value in numbers.items()}


def geometric_band(table: pd.DataFrame, level: float | int = 0.95) -> pd.DataFrame:
    """Geometric mean over seeds and its Student t interval, row by row.

    ``table`` holds values, one column per seed, for example one row per epoch; missing ones and zeros are left out.
    Returns columns ``mean``, ``low``, ``high`` and ``n`` on the same index; rows without any value are dropped.
    """
    rows = {}
    for index, row in table.iterrows():
        kept = row.dropna().astype(float)
        logs = np.log10(kept[kept > 0])
        if len(logs):
            mean, low, high = mean_interval(logs.tolist(), level)
            rows[index] = (10**mean, 10**low, 10**high, len(logs))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high", "n"])


def as_frame(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """One row per comparison, in words that a table can show; ratios instead of logarithms; "against" is the null."""
    rows = []
    for c in comparisons:
        values = (c.effect, c.low, c.high, c.bootstrap_low, c.bootstrap_high, c.threshold)
        logarithms = c.scale == "log10 ratio"
        effect, low, high, boot_low, boot_high, threshold = (10**v for v in values) if logarithms else values
        rows.append({
            "question": f"{c.question} ({'ratio' if logarithms else 'difference'})", "effect": effect,
            "95 % interval": f"{low:.3g} to {high:.3g}", "bootstrap": f"{boot_low:.3g} to {boot_high:.3g}",
            "against": threshold, "n": c.n, "diverged": c.excluded, "p": c.p, "p, sign test": c.p_sign,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _aligned(question: str, left: Any, right: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(left, Mapping) != isinstance(right, Mapping):
        raise ValueError(f"{question}: give both sides as mappings by seed, or both as sequences")
    if isinstance(left, Mapping):
        if set(left) != set(right):
            odd = sorted(map(str, set(left) ^ set(right)))
            raise ValueError(f"{question}: seeds must be the same on both sides; not shared: {', '.join(odd)}")
        left, right = [left[key] for key in left], [right[key] for key in left]
    if len(left) != len(right):
        raise ValueError(f"{question}: pairs need equal lengths; got {len(left)} and {len(right)}")
    as_array = [np.asarray([math.nan if v is None else float(v) for v in side], dtype=float) for side in (left, right)]
    return as_array[0], as_array[1]


def _student(effects: np.ndarray, threshold: float, level: float) -> tuple[float, float, float]:
    """Interval and p-value; equal values have an interval of width zero."""
    mean = float(effects.mean())
    if len(effects) < 2:
        return mean, mean, 1.0
    spread = float(effects.std(ddof=1)) / math.sqrt(len(effects))
    half = float(stats.t.ppf((1 + level) / 2, len(effects) - 1)) * spread
    if spread == 0:
        return mean, mean, 1.0 if mean == threshold else 0.0
    p = 2 * float(stats.t.sf(abs(mean - threshold) / spread, len(effects) - 1))
    return mean - half, mean + half, p


def _bootstrap(effects: np.ndarray, level: float, resamples: int, seed: int) -> tuple[float, float]:
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1; got {resamples}")
    draws = np.random.default_rng(seed).integers(0, len(effects), size=(resamples, len(effects)))
    low, high = np.quantile(effects[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
