"""How well a score tells failed from clean samples: area under the ROC curve, rates, and honest intervals.

The area is the probability that a failed sample scores higher than a clean one, ties counting half (Mann and Whitney).
DeLong's variance takes all samples for independent. Windows of one episode overlap, and a failed sample may be a clean
one with something broken in it; then whole episodes are resampled instead.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special, stats

# Numbers of samples that must agree are compared at the door, in words.
Scores = Float[np.ndarray, "_"]
Labels = Int[np.ndarray, "_"]


@dataclass(frozen=True)
class Estimate:
    """A number between 0 and 1 with its confidence interval."""

    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Length of the interval."""
        return self.high - self.low


def auroc(positive: Scores, negative: Scores) -> float:
    """P(positive > negative) + P(equal)/2 over all pairs. Raises ``ValueError`` on empty or NaN scores."""
    return float(_placements(positive, negative)[0].mean())


def delong(positive: Scores, negative: Scores, level: float = 0.95) -> Estimate:
    """The area with DeLong's interval, symmetric in the log-odds, for *independent* samples.

    The variance is that of DeLong, DeLong and Clarke-Pearson (1988), computed from ranks as Sun and Xu (2014) do. Where
    it vanishes, as for an area of exactly 0 or 1, the interval has no width; more samples are needed then.

    Raises ``ValueError`` for fewer than two samples of a kind, NaN, or a level outside (0, 1).
    """
    rows, columns = _placements(positive, negative, least=2)
    area, spread = float(rows.mean()), math.sqrt(_variance(rows, columns))
    if spread == 0 or area in (0.0, 1.0):
        return Estimate(area, area, area)
    half = _normal_quantile(level) * spread / (area * (1 - area))
    middle = special.logit(area)
    return Estimate(area, float(special.expit(middle - half)), float(special.expit(middle + half)))


@dataclass(frozen=True)
class Difference:
    """Difference of two areas, its interval, and the two-sided p-value of no difference."""

    value: float
    low: float
    high: float
    p: float


def delong_test(
    positive: tuple[Scores, Scores], negative: tuple[Scores, Scores], level: float = 0.95
) -> Difference:  # fmt: skip
    """DeLong's test of two scores on the *same*, independent samples: area of the first minus that of the second.

    ``positive`` and ``negative`` hold the scores of both methods, in one order of the samples.

    Raises ``ValueError`` where the two methods do not have the same number of samples, else as :func:`delong`.
    """
    if len(positive[0]) != len(positive[1]) or len(negative[0]) != len(negative[1]):
        raise ValueError("DeLong's test compares two scores of the same samples; their numbers differ")
    first, second = (_placements(p, n, least=2) for p, n in zip(positive, negative, strict=True))
    # The area is a mean of placements, so a difference of areas is a mean of differences, with the same variance.
    difference = float(first[0].mean() - second[0].mean())
    spread = math.sqrt(_variance(first[0] - second[0], first[1] - second[1]))
    if spread == 0:
        return Difference(difference, difference, difference, 1.0 if difference == 0 else 0.0)
    half = _normal_quantile(level) * spread
    return Difference(
        difference, difference - half, difference + half, 2 * float(stats.norm.sf(abs(difference) / spread))
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Wins:
    """Pairs won by the positives, counted by cluster; an area for any resampling of the clusters.

    Attributes
    ----------
    wins : of the positives of a cluster (row) over the negatives of a cluster (column), ties counting half.
    positives, negatives : samples of each cluster.
    """

    wins: Float[np.ndarray, "clusters clusters"]
    positives: Float[np.ndarray, "clusters"]
    negatives: Float[np.ndarray, "clusters"]

    @classmethod
    def count(cls, positive: Scores, negative: Scores, positive_of: Labels, negative_of: Labels) -> "Wins":
        """Compare every positive with every negative. ``positive_of`` and ``negative_of`` name their clusters.

        Raises ``ValueError`` where labels and scores differ in number, or scores are empty or NaN.
        """
        positive, negative = _scores(positive, "positive"), _scores(negative, "negative")
        if len(positive) != len(positive_of) or len(negative) != len(negative_of):
            raise ValueError("every score wants the label of its cluster; their numbers differ")
        names = np.union1d(positive_of, negative_of)
        above = np.searchsorted(names, positive_of)
        wins = np.zeros((len(names), len(names)))
        negatives = np.zeros(len(names))
        for column, name in enumerate(names):
            ordered = np.sort(negative[negative_of == name])
            negatives[column] = len(ordered)
            won = (np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")) / 2
            wins[:, column] = np.bincount(above, weights=won, minlength=len(names))
        return cls(wins, np.bincount(above, minlength=len(names)).astype(float), negatives)

    @classmethod
    def mean(cls, several: Sequence["Wins"]) -> "Wins":
        """The average of several models' counts on the same samples: its area is the mean of their areas."""
        first = several[0]
        if any((w.positives != first.positives).any() or (w.negatives != first.negatives).any() for w in several):
            raise ValueError("only counts of the same samples have a mean")
        return cls(np.mean([w.wins for w in several], axis=0), first.positives, first.negatives)

    def areas(self, weights: Float[np.ndarray, "resamples clusters"]) -> Float[np.ndarray, "resamples"]:
        """The area with each cluster counted as often as ``weights`` say; NaN where one side has no sample left."""
        won = ((weights @ self.wins) * weights).sum(axis=1)
        pairs = (weights @ self.positives) * (weights @ self.negatives)
        return np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0)

    @property
    def area(self) -> float:
        """The area over all pairs."""
        return float(self.wins.sum() / (self.positives.sum() * self.negatives.sum()))


def resampled(clusters: int, resamples: int = 2000, seed: int = 0) -> Float[np.ndarray, "resamples clusters"]:
    """How often each cluster is drawn, in bootstrap samples of as many clusters as there are.

    Raises ``ValueError`` for fewer than two clusters: nothing can be said about how they differ.
    """
    if clusters < 2:
        raise ValueError(f"resampling clusters needs at least 2 of them, got {clusters}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    even = np.full(clusters, 1 / clusters)
    return np.random.default_rng(seed).multinomial(clusters, even, size=resamples).astype(float)


def cluster_bootstrap(wins: Wins, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Estimate:
    """The area with the percentile interval over resampled clusters, which makes no assumption within a cluster.

    With few clusters (about ten) percentile intervals are themselves somewhat too narrow.
    """
    areas = wins.areas(resampled(len(wins.positives), resamples, seed))
    return Estimate(wins.area, *percentiles(areas, level))


def rate(hits: Bool[np.ndarray, "_"], level: float = 0.95, method: str = "wilson") -> Estimate:
    """Share of hits with Wilson's or the exact (Clopper and Pearson's) interval, for *independent* samples.

    Raises ``ValueError`` for no samples or another method.
    """
    if method not in ("wilson", "exact"):
        raise ValueError(f"method must be 'wilson' or 'exact', got {method!r}")
    if not len(hits):
        raise ValueError("a rate needs at least one sample, got none")
    found = stats.binomtest(int(np.sum(hits)), len(hits)).proportion_ci(level, method)
    return Estimate(float(np.mean(hits)), float(found.low), float(found.high))


def clustered_rate(
    hits: Float[np.ndarray, "_"] | Bool[np.ndarray, "_"],
    cluster: Labels,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Share of hits with the percentile interval over resampled clusters. ``hits`` may be averages over models."""
    _, number = np.unique(cluster, return_inverse=True)
    total, size = np.bincount(number, weights=np.asarray(hits, float)), np.bincount(number)
    weights = resampled(len(size), resamples, seed)
    return Estimate(float(np.mean(hits)), *percentiles((weights @ total) / (weights @ size), level))


def percentiles(values: Float[np.ndarray, "resamples"], level: float = 0.95) -> tuple[float, float]:
    """The middle ``level`` of the values that are numbers. Raises ``ValueError`` where none is."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    kept = values[~np.isnan(values)]
    if not len(kept):
        raise ValueError("no resample has samples of both kinds")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _scores(values: Scores, name: str, least: int = 1) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or len(array) < least:
        raise ValueError(f"{name} scores must be one axis of at least {least}, got shape {array.shape}")
    if np.isnan(array).any():
        raise ValueError(f"{name} scores hold NaN")
    return array


def _placements(positive: Scores, negative: Scores, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Share of negatives below each positive, and share of positives above each negative; ties count half."""
    positive, negative = _scores(positive, "positive", least), _scores(negative, "negative", least)
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    count = len(positive)
    rows = (ranks[:count] - stats.rankdata(positive)) / len(negative)
    columns = 1 - (ranks[count:] - stats.rankdata(negative)) / count
    return rows, columns


def _variance(rows: np.ndarray, columns: np.ndarray) -> float:
    return float(rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns))


def _normal_quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    return float(stats.norm.ppf((1 + level) / 2))
