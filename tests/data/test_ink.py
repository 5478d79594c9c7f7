"""Ink: where it was pressed, nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfusion.data.ink import Ink
from mmfusion.data.scenes.strokes import DIGITS, WIDTH, trace, vary

inside = st.floats(-0.08, 0.08)


@given(inside, inside)
def test_a_spot_is_round_and_in_its_place(x, y):
    ink = Ink(0.1, 100, 0.02, (0, 0, 0))
    ink.press(x, y)
    assert ink.cover.sum() * ink.cell**2 == pytest.approx(np.pi * 0.01**2, rel=0.05)
    assert ink.at(np.array([[x, y]]))[0] == pytest.approx(1, abs=1e-6)
    angles = np.linspace(0, 6, 40)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert np.all(ink.at((x, y) + 0.006 * ring) == 1)
    assert np.all(ink.at((x, y) + 0.014 * ring) == 0)


def test_pressing_twice_is_pressing_once_and_outside_is_nothing():
    ink = Ink(0.1, 50, 0.01, (0, 0, 0))
    ink.press(0.02, -0.03)
    before = ink.cover.copy()
    ink.press(0.02, -0.03)
    assert np.array_equal(before, ink.cover)
    for far in ((5.0, 0.0), (-5.0, 0.0), (0.2, 0.2)):
        ink.press(*far)
    assert np.array_equal(before, ink.cover)
    assert np.all(ink.at(np.array([[5.0, 0.0], [-0.11, 0.0], [0.02, 0.2]])) == 0)


def test_x_runs_along_columns():
    ink = Ink(0.1, 50, 0.01, (0, 0, 0))
    ink.press(0.05, 0.0)
    rows, columns = np.nonzero(ink.cover)
    assert columns.mean() > 30 and abs(rows.mean() - 24.5) < 1


def test_a_wide_pixel_sees_a_mean():
    ink = Ink(0.1, 100, 0.02, (0, 0, 0))
    ink.press(0.0, 0.0)
    assert 0.05 < ink.at(np.zeros((1, 2)), 0.06)[0] < 0.15  # a disc of 2 cm in a square of 6 cm


@pytest.mark.parametrize("wrong", [(0.0, 10, 0.1), (0.1, 1, 0.1), (0.1, 10, -1.0)])
def test_bad_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match="positive sizes and at least 2 cells"):
        Ink(*wrong, (0, 0, 0))


@pytest.mark.parametrize("digit", DIGITS)
def test_strokes_are_fine_enough_and_fill_their_box(digit):
    strokes = trace(digit, 0.03)
    points = np.concatenate(strokes)
    assert max(np.linalg.norm(np.diff(stroke, axis=0), axis=1).max() for stroke in strokes) < 0.04
    assert np.ptp(points[:, 1]) == pytest.approx(1, abs=0.05)
    assert points[:, 0].min() > -0.08 and points[:, 0].max() < WIDTH + 0.08
    for stroke, drawn in zip(DIGITS[digit], strokes, strict=True):
        knots = np.concatenate([np.array(piece) for piece in stroke])
        away = np.linalg.norm(knots[:, None] - drawn[None], axis=2).min(axis=1)
        assert away.max() < 0.03


def test_the_digits_differ_from_each_other():
    grids = []
    for digit in DIGITS:
        ink = Ink(0.6, 24, 0.12, (0, 0, 0))
        for point in np.concatenate(vary(trace(digit, 0.02), 1.0, 0.0, 0.0, 1.0)):
            ink.press(*point)
        grids.append(ink.cover > 0.5)
    for k, one in enumerate(grids):
        for other in grids[:k]:
            assert (one & other).sum() / (one | other).sum() < 0.8


def test_variation_shears_turns_and_stretches():
    (line,) = vary([np.array([[0.3, 0.0], [0.3, 1.0]])], 0.2, 0.5, 0.0, 2.0)
    assert np.allclose(line, [[-0.05, -0.1], [0.05, 0.1]])
    (turned,) = vary([np.array([[0.3, 0.0], [0.3, 1.0]])], 0.2, 0.0, np.pi / 2, 1.0)
    assert np.allclose(turned, [[0.1, 0.0], [-0.1, 0.0]])
    (wide,) = vary([np.array([[0.0, 0.5], [0.6, 0.5]])], 0.2, 0.0, 0.0, 1.5)
    assert np.allclose(wide, [[-0.09, 0.0], [0.09, 0.0]])


@pytest.mark.parametrize("wrong", [10, -1, "7"])
def test_only_digits_have_strokes(wrong):
    with pytest.raises((ValueError, TypeError)):
        trace(wrong, 0.1)
