"""Digit writing: ink where the marker was, the digit readable, radio waves that follow the arm."""

import mujoco
import numpy as np
import pytest

from mmfusion.data import csi, scenes
from mmfusion.data import simulated as sim
from mmfusion.data.scenes import digit_writing as writing


@pytest.fixture(scope="module")
def scene():
    return scenes.build("digit-writing")


@pytest.fixture(scope="module")
def runs(scene):
    """Episodes, each with the ink that was on the board at its end."""
    return [(sim.record(scene, 2, k), scene.ink) for k in range(6)]


def test_ink_lies_only_where_the_marker_has_touched(scene, runs, monkeypatch):
    """The ink is compared with the marker's way, which is recorded here at every tick, by physics alone."""
    way = []
    passed = writing.DigitWriting.passed

    def watch(self, plan, tick):
        if self.state.ncon:
            turn = np.zeros(9)
            mujoco.mju_quat2Mat(turn, self.state.mocap_quat[0])
            way.append(turn.reshape(3, 3).T @ (self.state.site_xpos[self.arm.site] - self.state.mocap_pos[0]))
        passed(self, plan, tick)

    monkeypatch.setattr(writing.DigitWriting, "passed", watch)
    sim.record(scene, 2, 0)
    way, ink = np.array(way), scene.ink
    assert np.abs(way[:, 2]).max() < 1.5e-3
    middles = (np.arange(writing.CELLS) + 0.5) * ink.cell - ink.half
    rows, columns = np.nonzero(ink.cover)
    spots = np.stack([middles[columns], middles[rows]], axis=1)
    away = np.linalg.norm(spots[:, None] - way[None, :, :2], axis=2).min(axis=1)
    assert away.max() < writing.STROKE_WIDTH / 2 + ink.cell
    assert np.all(ink.at(way[:, :2]) > 0.5)


def test_no_ink_before_the_marker_touches_and_none_is_lost(runs):
    for episode, _ in runs:
        inked, touching = episode.truth["inked"], episode.truth["touching"]
        assert inked[0] == 0 and np.all(np.diff(inked) >= 0)
        first = np.flatnonzero(touching)[0]
        assert np.all(inked[:first] == 0) and 0.02 < inked[-1] < 0.2
        resting = ~touching[1:] & ~touching[:-1] & (episode.phase[1:] != 2) & (episode.phase[:-1] != 2)
        assert np.all(np.diff(inked)[resting] < 0.01)


def test_the_marker_touches_the_board_while_it_writes(runs):
    for episode, _ in runs:
        on = episode.phase == 2
        assert episode.truth["touching"][on].mean() > 0.95
        assert np.abs(episode.truth["tip"][on, 2]).max() < 1.5e-3
        assert not episode.truth["touching"][episode.phase == 0].any()


def test_what_was_written_is_the_digit_that_was_drawn(runs):
    for episode, ink in runs:
        wanted = np.concatenate(episode.facts["strokes"])
        assert (ink.at(wanted) > 0.5).mean() > 0.97
        middles = (np.arange(writing.CELLS) + 0.5) * ink.cell - ink.half
        rows, columns = np.nonzero(ink.cover > 0.5)
        spots = np.stack([middles[columns], middles[rows]], axis=1)
        assert np.linalg.norm(spots[:, None] - wanted[None], axis=2).min(axis=1).max() < 0.02


def test_an_unwritten_digit_is_drawn_again(scene, monkeypatch):
    episode = sim.record(scene, 2, 0)
    assert scene.succeeded(episode)
    scene.ink.cover[:] = 0
    assert not scene.succeeded(episode)


def test_all_digits_occur_and_conditions_vary(scene):
    digits, looks = [], []
    for k in range(40):
        rng = np.random.default_rng([9, k])
        plan = next(filter(None, (scene.plan(rng) for _ in range(20))))
        digits.append(plan.facts["digit"])
        looks.append(plan.look)
    assert len(set(digits)) >= 8
    assert len({look.view.position for look in looks}) == len({look.light.lamp for look in looks}) == 40
    assert len({look.backdrop.low for look in looks}) == 40


def test_the_picture_shows_the_ink(scene):
    episode = sim.record(scene, 2, 1, size=64)
    dark = episode.frames.min(axis=3).astype(int)
    board = dark[0] > 120
    change = (dark[0] - dark[-1] > 60) & board
    assert 20 < change.sum() < 600


def test_the_arm_stands_where_the_episode_puts_it(scene):
    places = []
    for k in range(3):
        episode = sim.record(scene, 2, k)
        places.append(scene.state.xpos[scene.mount].copy())
        assert np.allclose(places[-1], episode.facts["mount"][0])
        angles, pose = episode.sensor[-1, :7], episode.sensor[-1, 14:17]
        assert np.allclose(scene.arm.forward(angles)[0], pose, atol=1e-9)
    assert not np.allclose(places[0], places[1])


def test_joint_limits_are_kept(runs):
    for episode, _ in runs:
        angles, speeds = episode.sensor[:, :7], episode.sensor[:, 7:14]
        assert np.all(angles > writing.ARM.low) and np.all(angles < writing.ARM.high)
        assert np.all(np.abs(speeds) < writing.ARM.speed)


def test_the_signal_is_the_channel_of_the_links_places(runs):
    """From the true places of the links the model gives the signal, up to noise and a common drift."""
    link = writing.LINK
    for episode, _ in runs:
        clean = link.still(writing.FREQUENCY) + link.scattered(
            writing.FREQUENCY, episode.truth["links"], writing.CROSS_SECTION
        )
        clean = csi.decibels(clean * np.sqrt(link.power / 256))
        rest = episode.streams["signal"] - clean
        common = rest.mean(axis=1)
        assert common.std() < 4 * link.drift and np.abs(np.diff(common)).max() < 0.5
        noise = (rest - common[:, None]).std()
        expected = 8.686 / np.sqrt(2) * 10 ** (-link.signal_to_noise(writing.FREQUENCY).mean() / 20)
        assert noise == pytest.approx(expected, rel=0.25)
        moved = np.abs(clean - clean.mean(axis=0)).mean()
        assert moved > 2 * noise  # the arm is heard


def test_the_signal_is_still_while_the_arm_is(runs):
    moving, resting = [], []
    for episode, _ in runs:
        speed = np.abs(episode.sensor[:, 7:14]).max(axis=1)
        change = np.abs(np.diff(episode.streams["signal"], axis=0)).mean(axis=1)
        moving += list(change[speed[1:] > 0.3])
        resting += list(change[(speed[1:] < 0.01) & (speed[:-1] < 0.01)])
    assert len(moving) > 20 and len(resting) > 20
    assert np.mean(moving) > 1.5 * np.mean(resting)


def test_features_stay_within_their_bound():
    names = writing.DigitWriting.channels["signal"]
    assert len(names) == 58 and names[0] == "subcarrier_-123" and 20 * len(names) <= 1200
    assert all(int(name.split("_")[1]) + 128 in csi.ACTIVE for name in names)
