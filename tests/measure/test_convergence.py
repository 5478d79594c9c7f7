"""Speed of convergence on curves whose crossing is known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfusion.measure.convergence import epochs_to_level, head_start

curves = st.lists(st.floats(0.01, 10), min_size=2, max_size=12)


def test_crossing_is_interpolated_geometrically():
    assert epochs_to_level([100.0, 1.0], 10) == pytest.approx(0.5)
    assert epochs_to_level([8, 4, 2, 1], 2) == pytest.approx(2)
    assert epochs_to_level([3.0, 2.0], 5) == 0.0
    assert epochs_to_level([3.0, 2.0, 2.5], 1) == math.inf


def test_the_first_crossing_counts():
    assert epochs_to_level([4, 1, 3, 1], 1) == pytest.approx(1)


def test_head_start_compares_at_the_level_that_both_reach():
    fast, slow = [16, 4, 2, 1], [16, 8, 4, 2]
    assert head_start(fast, slow) == pytest.approx(2 - 3)
    assert head_start(slow, fast) == pytest.approx(1)


@given(curves, curves)
def test_head_start_is_finite_and_antisymmetric(left, right):
    assert math.isfinite(head_start(left, right))
    assert head_start(left, right) == pytest.approx(-head_start(right, left))
    assert head_start(left, left) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: epochs_to_level([], 1),
        lambda: epochs_to_level([1, -1], 1),
        lambda: epochs_to_level([1, math.nan], 1),
        lambda: epochs_to_level([1, 2], 0),
        lambda: head_start([1.0], [0.0]),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError, match="positive and finite"):
        call()
