"""The radio channel against closed forms: Friis, mirror images, the radar equation, thermal noise, drift."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfusion.data import csi
from mmfusion.data.csi import Link, Room

F = csi.frequencies(csi.ACTIVE)
NOWHERE, NOTHING = np.zeros((400, 0, 3)), np.zeros(0)
BARE = Room(low=(-9, -9, -9), high=(9, 9, 9), reflection=0.0)


def free(transmitter, receiver, **others):
    return Link(transmitter=transmitter, receiver=receiver, room=BARE, **others)


def test_the_band_is_that_of_a_real_channel():
    assert len(csi.ACTIVE) == 232 and len(csi.DROPPED) == len(set(csi.DROPPED)) == 24
    every = csi.frequencies(np.arange(256))
    assert every[128] == 5.21e9  # channel 42 of IEEE 802.11ac
    assert every[-1] - every[0] + csi.SPACING == pytest.approx(80e6)


def test_the_line_of_sight_is_that_of_friis():
    """At 1 m and 5.21 GHz the free-space loss is 46.78 dB; doubling the distance costs 6.02 dB."""
    near, far = free((0, 0, 0), (1, 0, 0)), free((0, 0, 0), (0, 2, 0))
    carrier = np.array([5.21e9])
    assert -20 * np.log10(abs(near.still(carrier)[0])) == pytest.approx(46.78, abs=0.01)
    loss = 20 * np.log10(np.abs(near.still(F)) / np.abs(far.still(F)))
    assert np.allclose(loss, 6.0206, atol=1e-3)


@given(st.floats(0.5, 8))
def test_the_phase_turns_once_a_wavelength_and_once_a_delay(distance):
    link = free((0, 0, 0), (distance, 0, 0))
    phase = np.unwrap(np.angle(link.still(F)))
    # Slope over frequency: minus two pi times the delay; light needs 3.33564 ns for a metre.
    slope = (phase[-1] - phase[0]) / (F[-1] - F[0])
    assert -slope / (2 * np.pi) == pytest.approx(3.33564e-9 * distance, rel=1e-5)
    wavelength = 0.0575417  # of 5.21 GHz
    further = free((0, 0, 0), (distance + wavelength, 0, 0))
    carrier = np.array([5.21e9])
    ratio = further.still(carrier)[0] / link.still(carrier)[0]
    assert np.angle(ratio) == pytest.approx(0, abs=1e-3)
    half = free((0, 0, 0), (distance + wavelength / 2, 0, 0)).still(carrier)[0] / link.still(carrier)[0]
    assert abs(np.angle(half)) == pytest.approx(np.pi, abs=1e-3)


def test_a_wall_reflects_as_if_from_behind_it():
    """Both ends 1 m from a mirror and 3 m apart: the way over it is √(3² + 2²) m, found without images."""
    room = Room(low=(-50, -1, -50), high=(50, 50, 50), reflection=-0.6)
    link = Link(transmitter=(0, 0, 0), receiver=(3, 0, 0), room=room)
    carrier = np.array([5.21e9])
    wavelength = 299_792_458 / 5.21e9
    expected = 0.0
    ways = [(3.0, 1.0), (np.sqrt(13), -0.6), (np.sqrt(9 + 100**2), -0.6), (np.sqrt(9 + 100**2), -0.6),
            (np.sqrt(9 + 100**2), -0.6), (103.0, -0.6), (97.0, -0.6)]  # fmt: skip
    for way, strength in ways:
        expected += strength * wavelength / (4 * np.pi * way) * np.exp(-2j * np.pi * way / wavelength)
    assert link.still(carrier)[0] == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 99))
def test_an_image_is_as_far_from_the_wall_as_its_source(seed):
    room, rng = Room(), np.random.default_rng(seed)
    point = rng.uniform(room.low, room.high)
    images = room.images(tuple(point))
    for number, image in enumerate(images):
        axis, wall = number // 2, (room.low, room.high)[number % 2][number // 2]
        assert image[axis] - wall == pytest.approx(wall - point[axis])
        assert np.allclose(np.delete(image, axis), np.delete(point, axis))


def test_a_scatterer_follows_the_radar_equation():
    """A plate of 1 m² at 2 m from both ends: λ √σ / ((4π)^1.5 · 2 · 2), and four times weaker at 4 m."""
    link = free((0, 0, 0), (0.001, 0, 0))
    carrier = np.array([5.21e9])
    near, far = (abs(link.scattered(carrier, np.array([[[0, d, 0]]], float), np.array([1.0]))[0, 0]) for d in (2, 4))
    assert near == pytest.approx(0.0575417 / (44.546 * 4), rel=1e-3)
    assert near / far == pytest.approx(4, rel=1e-3)


def test_the_gain_is_the_same_in_both_directions():
    one, other = (-0.7, 1.2, 0.6), (1.3, -1.1, 0.4)
    places, size = np.random.default_rng(0).uniform(-1, 1, (5, 3, 3)), np.array([0.05, 0.02, 0.03])
    there, back = Link(transmitter=one, receiver=other), Link(transmitter=other, receiver=one)
    assert np.allclose(there.still(F), back.still(F))
    assert np.allclose(there.scattered(F, places, size), back.scattered(F, places, size))


def test_without_scatterers_only_noise_and_drift_are_left():
    quiet = Link(drift=0.0)
    state = quiet.measure(F, NOWHERE, NOTHING, 0.1, np.random.default_rng(0))
    noise = state - np.sqrt(quiet.power / 256) * quiet.still(F)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(quiet.noise_power, rel=0.02)
    assert abs(np.corrcoef(noise.real.ravel(), noise.imag.ravel())[0, 1]) < 0.02
    louder = csi.decibels(state)
    expected = 8.686 / np.sqrt(2) * 10 ** (-quiet.signal_to_noise(F) / 20)  # of a small disturbance, in dB
    assert np.allclose(louder.std(axis=0), expected, rtol=0.25)


def test_thermal_noise_of_one_subcarrier():
    """k T over 312.5 kHz is -119.0 dBm; the noise figure comes on top."""
    assert 10 * np.log10(Link(noise_figure=0.0).noise_power) + 30 == pytest.approx(-119.03, abs=0.02)
    assert Link(noise_figure=10.0).noise_power == pytest.approx(10 * Link(noise_figure=0.0).noise_power)


def test_the_drift_is_slow_and_as_large_as_it_says():
    link = Link(drift=0.5, memory=4.0)
    wander = link.wander(200_000, 0.2, np.random.default_rng(1))
    assert wander.std() == pytest.approx(0.5, rel=0.05)
    assert np.corrcoef(wander[:-20], wander[20:])[0, 1] == pytest.approx(np.exp(-1), abs=0.05)  # 4 s apart
    assert np.abs(np.diff(wander)).mean() < 0.2
    silent = Link(drift=0.0, noise_figure=-200.0)
    state = csi.decibels(silent.measure(F, NOWHERE, NOTHING, 0.1, np.random.default_rng(0)))
    assert np.ptp(state, axis=0).max() < 1e-6


def test_a_moving_link_changes_the_amplitude_by_fringes():
    """Over half a wavelength of way the scattered wave turns from adding to taking away."""
    link = free((-1, 0, 0), (1, 0, 0), drift=0.0, noise_figure=-200.0)
    carrier = np.array([5.21e9])
    heights = np.linspace(0.5, 0.8, 300)
    places = np.stack([np.zeros(300), heights, np.zeros(300)], axis=1)[:, None]
    amplitude = np.abs(link.measure(carrier, places, np.array([0.05]), 0.1, np.random.default_rng(0)))[:, 0]
    way = 2 * np.hypot(1, heights)
    peaks = np.flatnonzero((amplitude[1:-1] > amplitude[:-2]) & (amplitude[1:-1] > amplitude[2:])) + 1
    assert len(peaks) >= 3
    assert np.allclose(np.diff(way[peaks]), 0.0575417, atol=0.003)
    assert np.ptp(csi.decibels(amplitude)) > 0.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Room(low=(0, 0, 0), high=(1, 0, 1)), "low < high"),
        (lambda: Room(reflection=1.5), r"reflection must lie in \[-1, 1\], got 1.5"),
        (lambda: Link(receiver=(9.0, 0.0, 0.0)), "the receiver must stand inside the room, got .9.0"),
        (lambda: Link(power=0.0), "power and memory must be positive"),
        (lambda: Link(drift=-1.0), "drift not negative"),
    ],
)
def test_impossible_rooms_and_links_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
