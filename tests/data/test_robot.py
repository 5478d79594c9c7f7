"""The arms against an independent product of Denavit-Hartenberg matrices, and what a description must hold."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.data import arms, scenes
from mmfusion.data.kinematics import Segment, cruise, pointing, through, timeline
from mmfusion.data.robot import distal, proximal
from mmfusion.data.scenes import weld
from mmfusion.data.scenes.digit_writing import MARKER


def turn(axis, angle):
    c, s = np.cos(angle), np.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(4)
    matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return matrix


def shift(x=0.0, y=0.0, z=0.0):
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def welder(q):
    """ABB IRB 1600-6/1.2: lengths in millimetres from the data sheet; then the torch with its bent neck."""
    pose = np.eye(4)
    rows = [(150, 486.5, -90), (475, 0, 0), (0, 0, -90), (0, 600, 90), (0, 0, -90), (0, 65, 0)]
    for angle, (a, d, alpha) in zip(q, rows, strict=True):
        pose = pose @ turn("z", angle) @ shift(a / 1000, 0, d / 1000) @ turn("x", np.radians(alpha))
    return pose @ shift(z=0.13) @ turn("y", weld.BEND) @ shift(z=0.14)


def writer(q):
    """Franka Emika Panda: Craig's parameters; then the marker."""
    pose, right = np.eye(4), np.pi / 2
    rows = [(0, 0.333, 0), (0, 0, -right), (0, 0.316, right), (0.0825, 0, right), (-0.0825, 0.384, -right),
            (0, 0, right), (0.088, 0, right)]  # fmt: skip
    for angle, (a, d, alpha) in zip(q, rows, strict=True):
        pose = pose @ turn("x", alpha) @ shift(x=a) @ turn("z", angle) @ shift(z=d)
    return pose @ shift(z=0.107 + MARKER)


@pytest.fixture(scope="module")
def built():
    return {name: scenes.build(name) for name in ("welding-single", "welding-dual", "digit-writing")}


@pytest.mark.parametrize(("name", "number", "by_hand"), [
    ("welding-single", 0, welder), ("welding-dual", 0, lambda q: shift(-0.74) @ welder(q)),
    ("welding-dual", 1, lambda q: shift(0.74) @ turn("z", np.pi) @ welder(q)), ("digit-writing", 0, writer),
])  # fmt: skip
@given(seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_the_models_have_the_published_lengths(built, name, number, by_hand, seed):
    scene = built[name]
    kinematics, arm = scene.arms[number], scene.mounted[number][1]
    angles = np.random.default_rng(seed).uniform(arm.low, arm.high)
    position, (w, x, y, z) = kinematics.forward(angles)
    wanted = by_hand(angles)
    assert np.allclose(position, wanted[:3, 3], atol=2e-5)
    axis = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x**2 + y**2)]
    assert np.allclose(axis, wanted[:3, 2], atol=2e-5)


def test_both_conventions_name_the_same_places():
    """A two-jointed arm whose rows are known in both conventions."""
    assert distal([(0.3, 0.1, 0.5)])[1] == (0.3, 0.0, 0.1, 0.5)
    place = proximal([(0.3, 0.1, 0.5)], flange=0.2)
    assert np.allclose(place[0], (0.3, -0.1 * np.sin(0.5), 0.1 * np.cos(0.5), 0.5)) and place[1] == (0, 0, 0.2, 0)


@pytest.mark.parametrize("arm", [arms.ur5(), arms.irb1600(), arms.panda()], ids=["ur5", "irb1600", "panda"])
def test_an_arm_rests_within_its_limits(arm):
    assert np.all(np.array(arm.low) < arm.home) and np.all(np.array(arm.home) < arm.high)
    assert len(arm.channels("left_")) == 2 * len(arm.joints) == len(set(arm.channels("left_")))
    assert np.all(arm.lead > 0) and np.all(arm.lead < 0.2)


@pytest.mark.parametrize(("change", "message"), [
    ({"home": (0.0,)}, "an arm of 6 joints needs 6 home, got 1"),
    ({"frames": ((0.0, 0.0, 0.0, 0.0),)}, "needs 7 frames, got 1"),
])  # fmt: skip
def test_an_incomplete_arm_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(arms.ur5(), **change)


@given(st.integers(0, 999))
def test_a_tool_points_where_it_should(seed):
    axis, side = np.random.default_rng(seed).normal(size=(2, 3))
    w, x, y, z = pointing(axis, side)
    third = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x**2 + y**2)])
    first = np.array([1 - 2 * (y**2 + z**2), 2 * (x * y + w * z), 2 * (x * z - w * y)])
    assert np.allclose(third, axis / np.linalg.norm(axis)) and first @ side > 0
    assert abs(first @ third) < 1e-9


def test_a_tool_cannot_lean_along_itself():
    with pytest.raises(ValueError, match="side must not be parallel to axis"):
        pointing((0, 0, 1), (0, 0, -2))


@given(st.floats(0.02, 0.5))
def test_cruising_starts_and_ends_at_rest_and_is_even_between(ramp):
    phase = np.linspace(0, 1, 4001)
    share, rate = cruise(phase, ramp)
    assert share[0] == 0 and share[-1] == 1 and rate[0] == 0 and rate[-1] == pytest.approx(0, abs=1e-12)
    assert np.all(np.diff(share) >= 0) and rate.max() == pytest.approx(1 / (1 - ramp))
    assert np.allclose(np.gradient(share, phase)[1:-1], rate[1:-1], atol=1e-3)
    even = (phase > ramp) & (phase < 1 - ramp)
    assert np.ptp(rate[even]) < 1e-9 if even.any() else ramp > 0.49


def test_many_knots_are_passed_without_swinging():
    knots = np.sign(np.linspace(-1, 1, 41))[:, None] * np.ones((1, 6))
    path, slope = through(knots, np.linspace(0, 1, 2001))
    assert np.abs(path).max() < 1.3  # one polynomial of this degree would be far outside
    assert np.allclose(np.gradient(path[:, 0], np.linspace(0, 1, 2001))[5:-5], slope[5:-5, 0], atol=0.6)


def test_segments_follow_each_other_and_rest_at_the_end():
    a, b, c = np.zeros(2), np.ones(2), np.array([1.0, 3.0])
    clock = np.linspace(0, 4, 401)
    angles, speeds, number, share = timeline([Segment("one", [a, b], 1.0), Segment("two", [b, c], 2.0)], clock)
    assert np.allclose(angles[100], b) and np.allclose(angles[300:], c) and np.all(speeds[301:] == 0)
    assert list(np.unique(number)) == [0, 1] and np.all(np.diff(number) >= 0)
    assert np.allclose(np.gradient(angles, clock, axis=0)[1:-1], speeds[1:-1], atol=2e-2)
    assert share[50] == pytest.approx(0.5) and share[200] == pytest.approx(0.5)
