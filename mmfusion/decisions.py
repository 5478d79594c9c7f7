"""Rules that are stated before their outcome is looked at, and what paired seeds say about them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mmfusion import statistics
from mmfusion.statistics import Comparison

Values = Mapping[int, float]


@dataclass(frozen=True)
class Rule:
    """One comparison that bears on a claim: what is compared, and on which side of what threshold the claim puts it.

    Attributes
    ----------
    claim : id of the claim.
    question : what is measured, in words.
    claimed : ``"above"`` or ``"below"`` the threshold.
    threshold : of left over right, or of left minus right where ``ratio`` is false.
    left, right : value by seed, NaN where the run diverged; ``right=None`` compares differences with zero.
    ratio : compare logarithms, which needs positive values.

    Raises ``ValueError`` for another side, or a threshold of a ratio that is not positive.
    """

    claim: str
    question: str
    claimed: str
    threshold: float
    left: Values
    right: Values | None = None
    ratio: bool = True

    def __post_init__(self):
        if self.claimed not in ("above", "below"):
            raise ValueError(f"rule {self.question!r}: claimed is {self.claimed!r}, wanted 'above' or 'below'")
        if self.ratio and (self.right is None or not self.threshold > 0):
            raise ValueError(f"rule {self.question!r}: a ratio wants two sides and a positive threshold")

    def compare(self) -> Comparison:
        """The paired comparison, its p-value not yet corrected for others."""
        right = dict.fromkeys(self.left, 0.0) if self.right is None else self.right
        return statistics.paired(
            self.question, self.left, right, scale="log10 ratio" if self.ratio else "difference",
            threshold=math.log10(self.threshold) if self.ratio else self.threshold,
        )  # fmt: skip


def stated(rules: Iterable[Rule]) -> pd.DataFrame:
    """The rules without any outcome, one row each."""
    return pd.DataFrame(
        [{"claim": r.claim, "measured": r.question, "claimed": f"{r.claimed} {r.threshold:.3g}"} for r in rules]
    )


def decide(rules: Iterable[Rule], check: Any = None, data: str = "") -> dict[str, list[Comparison]]:
    """Compare by every rule; p-values are corrected by Holm's method within a claim.

    Parameters
    ----------
    rules : of one or several claims.
    check : a :class:`mmfusion.claims.Check` that takes the comparisons as evidence; ``None`` hands over nothing.
    data : on which data, in words; kept with the evidence.

    Returns the comparisons by claim, in the order of the rules. Raises ``ValueError`` as
    :func:`mmfusion.statistics.paired` does.
    """
    rules = list(rules)
    decided = {}
    for claim in dict.fromkeys(rule.claim for rule in rules):
        own = [rule for rule in rules if rule.claim == claim]
        decided[claim] = statistics.holm(rule.compare() for rule in own)
        for rule, c in zip(own, decided[claim], strict=True):
            if check is not None:
                check.comparison(
                    claim, c.question + (", as a decimal logarithm" if rule.ratio else ""), effect=c.effect, low=c.low,
                    high=c.high, n=c.n, p=c.p, data=data, claimed=rule.claimed, threshold=c.threshold,
                )  # fmt: skip
    return decided


def words(c: Comparison) -> str:
    """Effect, interval and number of pairs as people read them; a difference carries its sign."""
    logarithms = c.scale == "log10 ratio"
    numbers, sign = (c.ratio(), "") if logarithms else ((c.effect, c.low, c.high), "+")
    return "{:{s}.3g} (95 % interval {:{s}.3g} to {:{s}.3g}, n = {})".format(*numbers, c.n, s=sign)
