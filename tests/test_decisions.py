"""Rules: stated without outcome, decided in both directions, corrected within a claim."""

import pytest

from mmfusion import decisions, statistics
from mmfusion.decisions import Rule, decide

BIG = {seed: 20.0 + seed for seed in range(6)}
SMALL = {seed: 1.0 + 0.1 * seed for seed in range(6)}


def rule(**changes):
    return Rule(**{"claim": "Z-E", "question": "big ÷ small", "claimed": "above", "threshold": 10.0, "left": BIG,
                   "right": SMALL, **changes})  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "reproduced"),
        ({"claimed": "below"}, "contradicted"),
        ({"left": SMALL, "right": BIG}, "contradicted"),
        ({"threshold": 18.0}, "inconclusive"),
        ({"threshold": 15.0, "ratio": False}, "reproduced"),
        ({"threshold": 25.0, "ratio": False, "right": None}, "contradicted"),
    ],
)
def test_the_side_decides(check, changes, verdict):
    decide([rule(**changes)], check, data="made up")
    assert check.verdict("Z-E").verdict == verdict
    assert check.items[0]["data"] == "made up"


def test_p_values_are_corrected_within_a_claim_only():
    weak = rule(threshold=17.0)
    alone, strong = (decide([r])["Z-E"][0].p for r in (weak, rule()))
    found = decide([weak, rule(), rule(claim="Z-M", threshold=17.0)])
    assert [c.p for c in found["Z-E"]] == pytest.approx(statistics.holm_p([alone, strong]))
    assert found["Z-E"][1].p > 1.9 * strong
    assert found["Z-M"][0].p == pytest.approx(alone)
    assert list(found) == ["Z-E", "Z-M"] and [c.question for c in found["Z-E"]] == ["big ÷ small"] * 2


def test_rules_are_stated_without_their_outcome():
    table = decisions.stated([rule()])
    assert table.to_dict("records") == [{"claim": "Z-E", "measured": "big ÷ small", "claimed": "above 10"}]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"claimed": "over"}, "claimed is 'over'"),
        ({"threshold": 0.0}, "positive threshold"),
        ({"right": None}, "two sides"),
    ],
)
def test_bad_rules(changes, words):
    with pytest.raises(ValueError, match=words):
        rule(**changes)


def test_words():
    c = decide([rule(left=BIG, right=dict.fromkeys(BIG, 2.0))])["Z-E"][0]
    assert decisions.words(c).startswith("11.2 (95 % interval ") and decisions.words(c).endswith("n = 6)")
    difference = decide([rule(left=BIG, right=None, ratio=False)])["Z-E"][0]
    assert decisions.words(difference).startswith("+22.5 (95 % interval +")
