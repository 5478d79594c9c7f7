"""Paired statistics against SciPy, and how diverged runs are treated."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmfusion import statistics

numbers = st.floats(-100, 100).map(lambda v: round(v, 3))
samples = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=12)


@given(samples, st.floats(-2, 2))
def test_t_test_and_interval_agree_with_scipy(pairs, threshold):
    left, right = map(np.array, zip(*pairs, strict=True))
    difference = left - right
    result = statistics.paired("q", left.tolist(), right.tolist(), threshold=threshold, resamples=10)
    assert result.effect == pytest.approx(difference.mean())
    if difference.std() > 1e-6:
        expected = stats.ttest_1samp(difference, threshold)
        interval = expected.confidence_interval(0.95)
        assert result.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
        assert (result.low, result.high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
def test_holm_is_the_smallest_correction_that_keeps_order_and_multiplies_the_least_by_all(values):
    corrected = statistics.holm_p(values)
    order = np.argsort(values, kind="stable")
    expected, running = {}, 0.0
    for rank, index in enumerate(order):
        running = max(running, (len(values) - rank) * values[index])
        expected[index] = min(1.0, running)
    assert corrected == pytest.approx([expected[i] for i in range(len(values))])
    assert all(new >= old for new, old in zip(corrected, values, strict=True))


def test_holm_on_comparisons_changes_p_only():
    family = [statistics.paired(str(s), [1, 2, 3, 4, 5.5], [s, 1, 2, 3, 4]) for s in (0, 3)]
    corrected = statistics.holm(family)
    assert [c.p for c in corrected] == pytest.approx(statistics.holm_p([c.p for c in family]))
    assert [c.effect for c in corrected] == [c.effect for c in family]


def test_log_ratio_is_symmetric_and_reads_as_a_geometric_mean():
    forward = statistics.paired("q", [1, 10, 100], [10, 10, 10], scale="log10 ratio")
    backward = statistics.paired("q", [10, 10, 10], [1, 10, 100], scale="log10 ratio")
    assert forward.effect == pytest.approx(-backward.effect)
    assert statistics.paired("q", [20, 5], [1, 1], scale="log10 ratio").ratio()[0] == pytest.approx(10)
    with pytest.raises(ValueError, match="log10 ratio"):
        statistics.paired("q", [1, 2], [2, 3]).ratio()


def test_sign_test_counts_pairs_about_the_threshold():
    result = statistics.paired("q", [1, 2, 3, 4, 5, 6], [0] * 6, threshold=2.0)
    assert result.positive == 4
    assert result.p_sign == pytest.approx(stats.binomtest(4, 5).pvalue)


def test_bootstrap_interval_covers_the_mean_and_is_reproducible():
    rng = np.random.default_rng(1)
    left = rng.normal(1, 1, 12).tolist()
    first = statistics.paired("q", left, [0.0] * 12)
    second = statistics.paired("q", left, [0.0] * 12)
    assert first == second
    assert first.bootstrap_low < first.effect < first.bootstrap_high
    assert first.bootstrap_high - first.bootstrap_low < first.high - first.low


@pytest.mark.parametrize("broken", [None, math.nan, math.inf])
def test_diverged_runs_are_counted_or_refused(broken):
    left = {0: 1.0, 1: broken, 2: 3.0, 3: 4.0}
    right = dict.fromkeys(range(4), 0.5)
    result = statistics.paired("q", left, right)
    assert (result.n, result.excluded) == (3, 1)
    assert result.effect == pytest.approx((0.5 + 2.5 + 3.5) / 3)
    with pytest.raises(ValueError, match="1 of 4 pairs hold a diverged run"):
        statistics.paired("q", left, right, diverged="raise")


def test_mappings_pair_by_seed_and_not_by_position():
    result = statistics.paired("q", {0: 1.0, 1: 5.0, 2: 2.0}, {2: 1.0, 1: 4.0, 0: 0.0})
    assert (result.effect, result.low, result.high, result.p) == (1.0, 1.0, 1.0, 0.0)


def test_side_needs_five_pairs_interval_and_p():
    strong = statistics.paired("q", [1.0, 1.1, 0.9, 1.0, 1.05], [0] * 5)
    assert strong.decides and strong.side() == "above" and strong.side(alpha=1e-12) == "undecided"
    assert statistics.paired("q", [-1.0, -1.1, -0.9, -1.0, -1.05], [0] * 5).side() == "below"
    assert statistics.paired("q", [1.0, 1.1, 0.9, 1.0], [0] * 4).side() == "undecided"
    assert statistics.paired("q", [1.0, -1.0, 2.0, -2.0, 0.1], [0] * 5).side() == "undecided"
    assert statistics.paired("q", [1.0] * 5, [1.0] * 5).side() == "undecided"


def test_to_dict_holds_plain_values():
    result = statistics.paired("q", [1, 2, 3], [1, 1, 1]).to_dict()
    assert result["n"] == 3 and isinstance(result["p"], float) and isinstance(result["excluded"], int)


def test_mean_interval_matches_scipy_and_leaves_out_divergence():
    values = [1.0, 2.0, 4.0, math.nan]
    mean, low, high = statistics.mean_interval(values)
    expected = stats.ttest_1samp(values[:3], 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((7 / 3, expected.low, expected.high))
    assert statistics.mean_interval([2.0]) == (2.0, 2.0, 2.0)


def test_deviations_compare_spread_as_brown_and_forsythe_do():
    rng = np.random.default_rng(2)
    left, right = rng.normal(0, 1, 9), rng.normal(0, 3, 9)
    first, second = (list(statistics.deviations(dict(enumerate(side))).values()) for side in (left, right))
    expected = stats.levene(left, right, center="median")
    assert stats.ttest_ind(first, second).statistic ** 2 == pytest.approx(expected.statistic)
    assert math.isnan(statistics.deviations({0: 1.0, 1: None})[1])
    with pytest.raises(ValueError, match="finite"):
        statistics.deviations({0: None})


def test_geometric_band_is_the_interval_of_the_logarithms():
    table = pd.DataFrame({0: [1.0, 10.0, None], 1: [100.0, 10.0, None], 2: [10.0, None, None]}, index=[0, 5, 10])
    band = statistics.geometric_band(table)
    assert list(band.index) == [0, 5]
    assert band["n"].tolist() == [3, 2]
    assert band["mean"].tolist() == pytest.approx([10, 10])
    low, high = stats.ttest_1samp([0, 2, 1], 0).confidence_interval(0.95)
    assert (band.low[0], band.high[0]) == pytest.approx((10**low, 10**high))


def test_as_frame_shows_ratios_and_differences():
    ratio = statistics.paired("a", [10, 10, 10], [1, 1, 1], scale="log10 ratio", threshold=1.0)
    difference = statistics.paired("b", [3, 3, 3], [1, 1, 1])
    frame = statistics.as_frame([ratio, difference])
    assert frame.effect.tolist() == pytest.approx([10, 2])
    assert frame["against"].tolist() == [10, 0]
    assert frame["question"].tolist() == ["a (ratio)", "b (difference)"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.paired("q", [1, 2], [1]), "equal lengths"),
        (lambda: statistics.paired("q", {0: 1, 1: 2}, {0: 1, 2: 2}), "not shared: 1, 2"),
        (lambda: statistics.paired("q", {0: 1}, [1]), "both as sequences"),
        (lambda: statistics.paired("q", [1, -2], [1, 1], scale="log10 ratio"), "positive"),
        (lambda: statistics.paired("q", [1, 2], [1, 1], scale="log"), "scale must be"),
        (lambda: statistics.paired("q", [1, 2], [1, 1], diverged="ignore"), "diverged must be"),
        (lambda: statistics.paired("q", [1, 2], [1, 1], level=95), "level"),
        (lambda: statistics.paired("q", [1, 2], [1, 1], resamples=0), "resamples"),
        (lambda: statistics.paired("q", [1, None], [1, 1]), "1 of 2 remain"),
        (lambda: statistics.holm_p([0.5, 1.5]), r"\[0, 1\]"),
        (lambda: statistics.mean_interval([math.nan]), "finite"),
    ],
)
def test_bad_input_gets_one_clear_message(call, message):
    with pytest.raises(ValueError, match=message):
        call()
