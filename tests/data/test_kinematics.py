"""Inverse kinematics against an independent forward model, and the shape of smooth motions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.data.kinematics import along, downward, minimum_jerk
from mmfusion.data.scenes import pick_and_place as pick


def _turn(axis, angle):
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(4)
    i, j = {"x": (1, 2), "z": (0, 1)}[axis]
    matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return matrix


def _shift(x=0.0, z=0.0):
    matrix = np.eye(4)
    matrix[0, 3], matrix[2, 3] = x, z
    return matrix


def by_hand(angles):
    """Denavit-Hartenberg product of the published UR5 lengths, then the gripper."""
    lengths = [
        (0, 0.089159, np.pi / 2), (-0.425, 0, 0), (-0.39225, 0, 0),
        (0, 0.10915, np.pi / 2), (0, 0.09465, -np.pi / 2), (0, 0.0823, 0),
    ]  # fmt: skip
    pose = _turn("z", np.pi)
    for angle, (a, d, alpha) in zip(angles, lengths, strict=True):
        pose = pose @ _turn("z", angle) @ _shift(x=a, z=d) @ _turn("x", alpha)
    return pose @ _shift(z=pick.PINCH_DEPTH)


angles = st.lists(st.floats(-6, 6), min_size=6, max_size=6).map(np.array)


@given(angles)
@settings(max_examples=60, deadline=None)
def test_the_model_has_the_published_lengths(cell, q):
    position, quaternion = cell.arm.forward(q)
    wanted = by_hand(q)
    assert np.allclose(position, wanted[:3, 3], atol=1e-5)
    w, x, y, z = quaternion
    third_axis = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x**2 + y**2)]
    assert np.allclose(third_axis, wanted[:3, 2], atol=1e-5)


@given(st.floats(*pick.REACH), st.floats(*pick.BEARING), st.floats(0.045, 0.25), st.floats(-0.78, 0.78))
@settings(max_examples=60, deadline=None)
def test_every_pose_of_the_work_area_is_reached(cell, radius, bearing, height, twist):
    spot = (radius * np.cos(bearing), radius * np.sin(bearing), height)
    found = cell.arm.solve(*downward(spot, bearing + twist), start=np.array(pick.ARM.home))
    assert found is not None
    pose = by_hand(found)
    assert np.allclose(pose[:3, 3], spot, atol=5e-5)
    assert np.allclose(pose[:3, 2], [0, 0, -1], atol=5e-5)
    assert np.abs(found).max() < pick.ARM.high[0]


def test_a_pose_out_of_reach_has_no_solution(cell):
    assert cell.arm.solve(*downward((1.5, 0, 0.1), 0.0), start=np.array(pick.ARM.home)) is None


def test_minimum_jerk_rests_at_both_ends():
    phase = np.linspace(0, 1, 2001)
    share, rate = minimum_jerk(phase)
    assert share[0] == 0 and share[-1] == 1
    assert rate[0] == 0 and rate[-1] == 0
    assert np.all(np.diff(share) >= 0)
    assert rate.max() == pytest.approx(1.875)
    assert np.allclose(np.gradient(share, phase)[1:-1], rate[1:-1], atol=1e-5)


@given(st.integers(2, 5), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_path_passes_its_knots(count, seed):
    knots = np.random.default_rng(seed).normal(size=(count, 6))
    phase = np.linspace(0, 1, 1001)
    path, slope = along(knots, phase)
    assert np.allclose(path[0], knots[0]) and np.allclose(path[-1], knots[-1])
    for knot in knots:
        assert np.abs(path - knot).max(axis=1).min() < 0.1
    assert np.allclose(np.gradient(path, phase, axis=0)[1:-1], slope[1:-1], atol=1e-3 * np.abs(knots).max() * 40)
