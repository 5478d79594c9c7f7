"""Welding: the arc burns at the seam and only there, the bead follows it and cools, the arms keep apart."""

import mujoco
import numpy as np
import pytest

from mmfusion.data import scenes
from mmfusion.data import simulated as sim
from mmfusion.data.scenes import weld, welding
from mmfusion.data.scenes.weld import Seam

NAMES = ("welding-single", "welding-dual")


@pytest.fixture(scope="module")
def stations():
    return {name: scenes.build(name) for name in NAMES}


@pytest.fixture(scope="module")
def runs(stations):
    return {name: [sim.record(station, 5, k) for k in range(4)] for name, station in stations.items()}


def currents(scene, episode):
    names = scene.channels["sensor"]
    return episode.sensor[:, [k for k, name in enumerate(names) if name.endswith("arc_current")]]


@pytest.mark.parametrize("name", NAMES)
def test_the_torch_follows_the_seam_within_a_millimetre(runs, name):
    for episode in runs[name]:
        burning = episode.truth["arc"]
        assert 0.4 < burning.mean() < 0.75
        assert episode.truth["off_seam"][burning].max() < 1e-3
        assert np.isinf(episode.truth["off_seam"][0]).all() and not burning[0].any()


@pytest.mark.parametrize("name", NAMES)
def test_current_flows_with_the_arc_and_only_then(stations, runs, name):
    for episode in runs[name]:
        current, burning = currents(stations[name], episode), episode.truth["arc"]
        assert np.all(current[~burning] == 0)
        steady = burning & np.roll(burning, 1, axis=0)
        assert np.all(current[steady] > 125) and np.all(current < 215)
        for arm in range(burning.shape[1]):
            flow = current[steady[:, arm], arm]
            assert abs(flow.mean() - episode.facts["current"][arm]) < 5
            assert 2 < flow.std() < 9


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_glows_only_while_welding(stations, runs, name):
    scene = stations[name]
    dark = sim.record(scene, 5, 0, size=48)
    burning = dark.truth["arc"].any(axis=1)
    white = (dark.frames.min(axis=3) > 240).sum(axis=(1, 2))
    assert np.all(white[~burning] == 0)
    assert np.mean(white[burning] > 0) > 0.8
    assert np.all(dark.frames[burning].mean(axis=(1, 2, 3)) > dark.frames[0].mean())


@pytest.mark.parametrize("name", NAMES)
def test_the_bead_grows_behind_the_arc_and_cools(stations, runs, name):
    scene = stations[name]
    for episode in runs[name]:
        bead = episode.truth["bead"]
        assert bead[0] == 0 and np.all(np.diff(bead) >= 0)
        welded = sum(len(names) for names in episode.facts["seams"])
        assert bead[-1] == pytest.approx(welded / len(scene.seams))
        growing = np.diff(bead) > 0
        assert not growing[~episode.truth["arc"].any(axis=1)[1:] & ~episode.truth["arc"].any(axis=1)[:-1]].any()
    last = sim.record(scene, 5, 0)
    names = [name for arm in last.facts["seams"] for name in arm]
    times = scene.bead.times[[list(scene.seams).index(n) for n in names]]
    assert np.all(np.isfinite(times))
    assert np.all(np.abs(np.diff(times, axis=1)) < 1.5)
    assert np.all(np.diff(times, axis=1) >= 0) or name == "welding-single"
    visible = scene.model.geom_rgba[scene.bead.geoms, 3] > 0
    assert np.array_equal(visible, np.isfinite(scene.bead.times))


def test_hot_steel_pales_from_yellow_over_red_to_nothing():
    glow = np.array([weld.heat(age) for age in np.linspace(0, 12, 40)])
    assert np.all(np.diff(glow, axis=0) < 0)
    assert glow[0, 0] > glow[0, 1] > glow[0, 2] > 0.3
    assert glow[10, 0] > 5 * glow[10, 2] and glow[-1].max() < 0.01


def test_the_two_arms_never_touch(stations, runs):
    gaps = [episode.truth["gap"].min() for episode in runs["welding-dual"]]
    assert min(gaps) > welding.CLEARANCE
    assert max(gaps) < 0.25  # they do work side by side
    assert all(np.isinf(episode.truth["gap"]).all() for episode in runs["welding-single"])


def test_the_gap_is_the_least_distance_of_all_pairs(stations):
    scene = stations["welding-dual"]
    state = mujoco.MjData(scene.model)
    left, right = scene.arm_geoms(0), scene.arm_geoms(1)
    assert len(left) == len(right) and not set(left) & set(right)
    rng = np.random.default_rng(0)
    for _ in range(5):
        for arm in scene.arms:
            state.qpos[arm.address] = np.array(scene.rest) + rng.uniform(-0.15, 0.15, size=6)
        mujoco.mj_kinematics(scene.model, state)
        exact = min(mujoco.mj_geomDistance(scene.model, state, a, b, 0.25, None) for a in left for b in right)
        assert scene.gap(state) == pytest.approx(exact)


def test_arms_that_would_meet_are_planned_anew(stations, monkeypatch):
    scene = stations["welding-dual"]
    monkeypatch.setattr(type(scene), "rest", (0.0, -1.4, 0.35, 0.0, 0.9, 0.0))  # both torches past the middle
    assert all(scene.plan(np.random.default_rng(k)) is None for k in range(5))


def test_each_arm_of_the_pair_welds_its_own_side_and_not_the_same_half(runs):
    for episode in runs["welding-dual"]:
        left, right = episode.facts["seams"]
        assert all(name.startswith("left_") for name in left) and all(name.startswith("right_") for name in right)
        assert [name.split("_")[1] for name in left] == [name.split("_")[1] for name in right][::-1]


def test_episodes_of_the_single_station_vary(runs):
    facts = [episode.facts for episode in runs["welding-single"]]
    assert len({tuple(fact["seams"][0]) for fact in facts}) > 1
    assert len({fact["yaw"] for fact in facts}) == len({tuple(fact["place"]) for fact in facts}) == 4


@pytest.mark.parametrize("name", NAMES)
def test_limits_are_kept_and_the_motion_is_narrow(stations, runs, name):
    scene = stations[name]
    arm = scene.mounted[0][1]
    for episode in runs[name]:
        angles, speeds = episode.sensor[:, :6], episode.sensor[:, 6:12]
        assert np.all(angles > arm.low) and np.all(angles < arm.high)
        assert np.all(np.abs(speeds) < arm.speed)
        assert np.degrees(np.ptp(angles[:, :3], axis=0)).max() < 60
        assert np.linalg.norm(episode.sensor[:, 12:15] - episode.facts["place"], axis=1).max() < 0.5


def test_the_robot_is_large_alone_and_smaller_in_company(stations):
    share = {}
    for name, scene in stations.items():
        sim.record(scene, 5, 0)
        mujoco.mj_kinematics(scene.model, scene.state)
        share[name] = scene.camera(64, scene.film).covered(scene.state, scene.robot_geoms()).mean()
    assert share["welding-single"] > 0.2
    assert 0.05 < share["welding-dual"] / 2 < 0.4 * share["welding-single"]


def test_the_wire_points_into_the_corner():
    seam = Seam((0, 0, 0), (0.1, 0, 0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0))
    assert np.allclose(seam.wire(), [0, np.sqrt(0.5), -np.sqrt(0.5)])
    assert seam.wire(0.2)[0] == pytest.approx(np.sin(0.2)) and seam.reversed().wire(0.2)[0] < 0
    assert np.linalg.norm(seam.wire(0.2)) == pytest.approx(1)
    assert seam.away(np.array([0.05, 0.003, 0.004])) == pytest.approx(0.005)
    assert seam.away(np.array([0.13, 0.0, 0.04])) == pytest.approx(0.05)
