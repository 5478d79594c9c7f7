"""Shares of samples, windows, clocks, area averaging."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfusion.data.published import sampling


@given(st.lists(st.integers(0, 40), min_size=1, max_size=9), st.integers(1, 200))
def test_samples_are_shared_evenly_and_never_twice(available, samples):
    taken = sampling.spread(available, samples)
    counts = [len(part) for part in taken]
    assert sum(counts) == min(samples, sum(available))
    for part, count in zip(taken, available, strict=True):
        assert len(np.unique(part)) == len(part)
        assert len(part) == 0 or (0 <= part.min() and part.max() < count and (np.diff(part) > 0).all())
        if len(part) > 1:
            assert np.ptp(np.diff(part)) <= 1
    short = [n for n, count in zip(counts, available, strict=True) if n < count]
    assert not short or max(counts) - min(short) <= 1


def test_a_larger_request_keeps_the_recordings_of_a_smaller_one():
    few, more = sampling.chosen(100, 250, 25, seed=3), sampling.chosen(100, 500, 25, seed=3)
    assert len(few) == 10 and len(more) == 20 and set(few) <= set(more)
    assert list(few) == sorted(few) and list(few) != list(sampling.chosen(100, 250, 25, seed=4))
    assert list(sampling.chosen(3, 500, 25, seed=0)) == [0, 1, 2]
    assert len(sampling.chosen(100, 30, 25, seed=0)) == 4 and len(sampling.chosen(100, 2, 25, seed=0)) == 2


def test_a_window_holds_the_history_up_to_its_end():
    stream = np.arange(60.0).reshape(30, 2)
    cut = sampling.windows_at(stream, np.array([19, 25]))
    assert cut.shape == (2, 20, 2) and cut.dtype == np.float32
    assert np.array_equal(cut[0], stream[:20]) and np.array_equal(cut[1], stream[6:26])


def test_a_clock_is_met_by_interpolation_and_never_beyond_the_ends():
    stamps, values = np.array([0.0, 1.0, 3.0]), np.array([[0.0], [10.0], [30.0]])
    met = sampling.on_clock(np.array([-1.0, 0.0, 0.25, 2.0, 3.0, 9.0]), stamps, values)
    assert met[:, 0].tolist() == pytest.approx([0, 0, 2.5, 20, 30, 30])


def test_speeds_are_backward_differences_on_the_stamps():
    stamps = np.array([0.0, 0.5, 1.5])
    rates = sampling.speeds(stamps, np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 3.0]]))
    assert rates.tolist() == [[2.0, 0.0], [2.0, 0.0], [-1.0, 2.0]]


def test_resizing_averages_areas():
    picture = np.zeros((4, 8, 3), dtype=np.uint8)
    picture[:, 4:] = 200
    picture[0, 0] = 80
    small = sampling.resized(picture, 2)
    assert small[..., 0].tolist() == [[10, 200], [0, 200]]
    assert sampling.resized(picture, 8)[0, :, 0].tolist() == [80, 0, 0, 0, 200, 200, 200, 200]
