"""Choosing settings: the seed that is judged has no say, and what a choice gains by having one is known."""

import math

import numpy as np
import pytest

from mmfusion.tuning import choose_on_itself, leave_one_out, taken

# Seed 2 alone likes "fast": choosing on it would take "fast", the others would not.
LOSSES = {"slow": {0: 1.0, 1: 1.1, 2: 2.0}, "fast": {0: 3.0, 1: 3.2, 2: 0.1}}


def test_the_judged_seed_has_no_say():
    chosen = leave_one_out(LOSSES)
    assert chosen[2] == "slow"
    assert choose_on_itself(LOSSES)[2] == "fast"
    # Whatever the judged seed's own losses are, the choice for it stays.
    for mine in (0.0, 1e9, math.nan):
        changed = {setting: {**losses, 2: mine} for setting, losses in LOSSES.items()}
        assert leave_one_out(changed)[2] == "slow"
    assert taken(LOSSES, chosen)[2] == 2.0
    assert taken(LOSSES, choose_on_itself(LOSSES)) == {0: 1.0, 1: 1.1, 2: 0.1}


def test_each_seed_takes_the_best_mean_of_the_others():
    losses = {"a": {0: 1.0, 1: 5.0, 2: 5.0}, "b": {0: 2.0, 1: 2.0, 2: 2.0}}
    assert leave_one_out(losses) == {0: "b", 1: "b", 2: "b"}
    losses = {"a": {0: 1.0, 1: 1.0, 2: 5.0}, "b": {0: 2.0, 1: 2.0, 2: 2.0}}
    assert leave_one_out(losses) == {0: "b", 1: "b", 2: "a"}


def test_choosing_on_the_judged_seed_is_optimistic_and_leaving_it_out_is_not():
    """Settings that are all alike: their best looks better than they are, the one chosen without looking does not."""
    noise = np.random.default_rng(0).normal(size=(400, 3, 5))
    looked, fair = [], []
    for draw in noise:
        losses = {f"rate {k}": dict(enumerate(row)) for k, row in enumerate(draw)}
        looked += taken(losses, choose_on_itself(losses)).values()
        fair += taken(losses, leave_one_out(losses)).values()
    assert np.mean(looked) == pytest.approx(-0.846, abs=0.06)  # the expected smallest of three standard normals
    assert np.mean(fair) > -0.06


def test_divergence_counts_against_a_setting():
    losses = {"wild": {0: 0.1, 1: math.nan, 2: 0.1, 3: 0.1}, "tame": {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0}}
    assert leave_one_out(losses) == {0: "tame", 1: "wild", 2: "tame", 3: "tame"}
    assert math.isnan(taken(losses, leave_one_out(losses))[1])
    everywhere = {"a": {0: None, 1: math.inf}, "b": {0: math.nan, 1: None}}
    assert leave_one_out(everywhere) == {0: "a", 1: "a"}
    assert all(map(math.isnan, taken(everywhere, {0: "a", 1: "b"}).values()))


def test_bad_input_is_refused():
    for wrong, message in (
        ({}, "at least one setting, got none"),
        ({"a": {0: 1.0}}, "at least 2 seeds, got 1"),
        ({"a": {0: 1.0, 1: 1.0}, "b": {0: 1.0, 2: 1.0}}, "'b' differs from the first in: 1, 2"),
    ):
        with pytest.raises(ValueError, match=message):
            leave_one_out(wrong)
    with pytest.raises(ValueError, match="no value for setting 'c' with seed 0"):
        taken(LOSSES, {0: "c"})
    with pytest.raises(ValueError, match="no value for setting 'slow' with seed 9"):
        taken(LOSSES, {9: "slow"})
