"""Areas, rates and their intervals: known values, brute force, and coverage where the truth is known."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from mmfusion.measure import roc
from mmfusion.measure.roc import Wins, auroc, cluster_bootstrap, clustered_rate, delong, delong_test, rate


def sample(seed, positives=23, negatives=31, ties=False):
    rng = np.random.default_rng(seed)
    positive, negative = rng.normal(0.7, 1, positives), rng.normal(0, 1, negatives)
    return (np.round(positive, 0), np.round(negative, 0)) if ties else (positive, negative)


def won(x, y):
    return (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])


@pytest.mark.parametrize("ties", [False, True])
def test_area_is_mann_whitneys_statistic(ties):
    x, y = sample(0, ties=ties)
    labels = np.r_[np.ones(len(x)), np.zeros(len(y))]
    assert auroc(x, y) == pytest.approx(won(x, y).mean())
    assert auroc(x, y) == pytest.approx(roc_auc_score(labels, np.r_[x, y]))
    assert auroc(x, y) == pytest.approx(stats.mannwhitneyu(x, y).statistic / (len(x) * len(y)))
    assert auroc(y, x) == pytest.approx(1 - auroc(x, y))


@pytest.mark.parametrize("ties", [False, True])
def test_delongs_variance_against_its_definition(ties):
    """DeLong's components, one sum at a time; the interval is theirs on the log-odds scale."""
    x, y = sample(1, ties=ties)
    pairs = won(x, y)
    area = pairs.mean()
    rows = sum((pairs[i].mean() - area) ** 2 for i in range(len(x))) / (len(x) - 1)
    columns = sum((pairs[:, j].mean() - area) ** 2 for j in range(len(y))) / (len(y) - 1)
    spread = np.sqrt(rows / len(x) + columns / len(y))
    found = delong(x, y)
    logit = np.log(area / (1 - area))
    half = 1.959964 * spread / (area * (1 - area))
    assert found.value == pytest.approx(area)
    assert np.log(found.low / (1 - found.low)) == pytest.approx(logit - half, rel=1e-5)
    assert np.log(found.high / (1 - found.high)) == pytest.approx(logit + half, rel=1e-5)
    assert delong(x, y, 0.99).width > found.width


def test_a_small_example_by_hand():
    """Positives 3, 5 over negatives 1, 4: placements 1/2, 1 and 1, 1/2, so the variance is 1/16 + 1/16."""
    found = delong(np.array([3.0, 5.0]), np.array([1.0, 4.0]))
    assert found.value == 0.75
    difference = delong_test((np.array([3.0, 5.0]), np.array([3.0, 3.0])), (np.array([1.0, 4.0]), np.array([3.0, 3.0])))
    assert difference.value == 0.25
    z = 0.25 / np.sqrt(1 / 8)
    assert difference.p == pytest.approx(2 * stats.norm.sf(z))
    assert difference.high - difference.value == pytest.approx(1.959964 * np.sqrt(1 / 8))


def test_paired_test_against_the_covariance_formula():
    rng = np.random.default_rng(2)
    x = rng.normal(0.8, 1, (2, 40)) + rng.normal(0, 1, 40)
    y = rng.normal(0, 1, (2, 50)) + rng.normal(0, 1, 50)
    pairs = [won(x[k], y[k]) for k in (0, 1)]
    rows, columns = np.cov([p.mean(1) for p in pairs]), np.cov([p.mean(0) for p in pairs])
    whole = rows / 40 + columns / 50
    z = (pairs[0].mean() - pairs[1].mean()) / np.sqrt(whole[0, 0] + whole[1, 1] - 2 * whole[0, 1])
    found = delong_test(tuple(x), tuple(y))
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert delong_test((x[0], x[0]), (y[0], y[0])).p == 1.0


def test_perfect_separation_has_no_width():
    found = delong(np.array([3.0, 4.0]), np.array([1.0, 2.0]))
    assert (found.value, found.low, found.high) == (1, 1, 1)
    same = delong_test((np.array([3.0, 4.0]), np.array([1.0, 2.0])), (np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    assert (same.value, same.p) == (1, 0)


def test_the_bootstrap_agrees_with_brute_force():
    """Areas of resampled clusters are those of the samples copied together."""
    x, y = sample(3, 30, 40, ties=True)
    x_of, y_of = np.arange(30) % 6, np.arange(40) % 5
    wins = Wins.count(x, y, x_of, y_of)
    assert wins.area == pytest.approx(auroc(x, y))
    weights = roc.resampled(6, 20, seed=1)
    for w, found in zip(weights, wins.areas(weights), strict=True):
        chosen = np.repeat(np.arange(6), w.astype(int))
        positive = np.concatenate([x[x_of == c] for c in chosen])
        negative = np.concatenate([y[y_of == c] for c in chosen])
        assert found == pytest.approx(auroc(positive, negative))
    both = Wins.mean([wins, Wins.count(-x, -y, x_of, y_of)])
    assert both.area == pytest.approx(0.5)


def test_a_resample_without_positives_is_left_out():
    wins = Wins.count(np.array([1.0, 2.0]), np.array([0.0, 1.5]), np.array([0, 0]), np.array([0, 1]))
    assert np.isnan(wins.areas(np.array([[0.0, 2.0]]))).all()
    assert cluster_bootstrap(wins).low >= 0
    with pytest.raises(ValueError, match="no resample has samples of both kinds"):
        roc.percentiles(np.array([np.nan]))


def clustered(rng, clusters=30, size=12, share=0.6):
    """Positives and negatives of the same clusters, which share an effect; the true area is that of one shift."""
    effect = np.sqrt(share) * rng.normal(size=(2, clusters, 1))
    noise = np.sqrt(1 - share) * rng.normal(size=(2, clusters, size))
    of = np.repeat(np.arange(clusters), size)
    return 1 + (effect + noise)[0].ravel(), (effect + noise)[1].ravel(), of


TRUTH = stats.norm.cdf(1 / np.sqrt(2))


def test_delong_covers_independent_samples():
    rng = np.random.default_rng(5)
    found = [delong(rng.normal(1, 1, 40), rng.normal(0, 1, 40)) for _ in range(600)]
    assert np.mean([e.low <= TRUTH <= e.high for e in found]) == pytest.approx(0.95, abs=0.03)


def test_delong_is_too_narrow_for_clusters_and_the_bootstrap_is_not():
    rng = np.random.default_rng(6)
    inside = {"delong": 0, "bootstrap": 0}
    for _ in range(150):
        x, y, of = clustered(rng)
        for name, e in (
            ("delong", delong(x, y)),
            ("bootstrap", cluster_bootstrap(Wins.count(x, y, of, of), 0.95, 400)),
        ):
            inside[name] += e.low <= TRUTH <= e.high
    assert inside["delong"] < 0.7 * 150
    assert inside["bootstrap"] > 0.87 * 150


def test_rates_and_their_intervals():
    hits = np.r_[np.ones(5, bool), np.zeros(95, bool)]
    wilson, exact = rate(hits), rate(hits, method="exact")
    assert wilson.value == exact.value == 0.05
    assert (wilson.low, wilson.high) == pytest.approx((0.02154, 0.11175), abs=1e-4)
    assert (exact.low, exact.high) == pytest.approx((stats.beta.ppf(0.025, 5, 96), stats.beta.ppf(0.975, 6, 95)))
    assert rate(np.zeros(20, bool)).low == 0 and rate(np.zeros(20, bool)).high > 0


def test_a_rate_over_clusters_is_wider_when_they_hit_together():
    together = np.repeat([1, 0, 0, 0, 1, 0, 0, 0, 0, 0], 20).astype(bool)
    of = np.repeat(np.arange(10), 20)
    assert clustered_rate(together, of).width > 2 * rate(together).width
    mixed = np.random.default_rng(0).permutation(together)
    assert clustered_rate(mixed, of).width < 1.5 * rate(mixed).width


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: auroc(np.array([]), np.array([1.0])), "positive scores must be one axis of at least 1"),
        (lambda: auroc(np.array([1.0]), np.array([np.nan])), "negative scores hold NaN"),
        (lambda: delong(np.array([1.0]), np.array([1.0, 2.0])), "positive scores must be one axis of at least 2"),
        (lambda: delong(np.ones(3), np.arange(3.0), level=1.0), "level must lie between 0 and 1"),
        (lambda: delong_test((np.ones(3), np.ones(2)), (np.ones(3), np.ones(3))), "their numbers differ"),
        (lambda: Wins.count(np.ones(3), np.ones(3), np.ones(2, int), np.ones(3, int)), "label of its cluster"),
        (lambda: roc.resampled(1), "at least 2 of them, got 1"),
        (lambda: roc.resampled(3, 0), "resamples must be at least 1"),
        (lambda: rate(np.array([], bool)), "at least one sample"),
        (lambda: rate(np.ones(3, bool), method="wald"), "'wilson' or 'exact', got 'wald'"),
        (lambda: roc.percentiles(np.ones(3), 2.0), "level must lie between 0 and 1"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_only_counts_of_the_same_samples_have_a_mean():
    one, other = (Wins.count(np.arange(n, dtype=float), np.arange(4.0), np.arange(n), np.arange(4)) for n in (4, 5))
    with pytest.raises(ValueError, match="same samples"):
        Wins.mean([one, other if len(other.positives) == 4 else Wins(one.wins, one.positives + 1, one.negatives)])
