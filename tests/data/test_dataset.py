"""Shapes, the split by episode, and the standardiser that sees training data only."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.data import MultimodalDataset, Standardiser


def make(episodes=4, each=5, seed=0, channels=3):
    rng = np.random.default_rng(seed)
    count = episodes * each
    return MultimodalDataset(
        modalities={
            "camera": rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8),
            "sensor": rng.normal(5, 2, (count, 4, channels)).astype(np.float32),
            "signal": rng.normal(-60, 9, (count, 4, 2)).astype(np.float32),
        },
        episode=np.repeat(np.arange(episodes, dtype=np.int32), each),
        channels={"sensor": tuple("abcdefg"[:channels]), "signal": ("x", "y")},
        digest="0" * 64,
        parameters={"name": "made up"},
    )


def with_arrays(dataset, **arrays):
    return dataclasses.replace(dataset, modalities={**dataset.modalities, **arrays})


def test_the_generated_set_has_the_promised_shapes(dataset):
    assert dataset["camera"].shape == (130, 16, 16, 3) and dataset["camera"].dtype == np.uint8
    assert dataset["sensor"].shape == (130, 20, 20) and dataset["sensor"].dtype == np.float32
    assert len(dataset) == 130 and list(dataset.episodes) == [0, 1, 2, 3]
    assert len(dataset.channels["sensor"]) == len(set(dataset.channels["sensor"])) == 20


def test_consecutive_windows_overlap_within_an_episode_and_only_there(dataset):
    same = np.diff(dataset.episode) == 0
    overlap = (dataset["sensor"][1:, :-1] == dataset["sensor"][:-1, 1:]).all(axis=(1, 2))
    assert np.array_equal(overlap, same)


@given(st.integers(2, 30), st.floats(0.01, 0.99), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_a_split_divides_episodes(episodes, fraction, seed):
    whole = make(episodes, each=2)
    train, test = whole.split(fraction, seed)
    assert set(train.episodes).isdisjoint(test.episodes)
    assert set(train.episodes) | set(test.episodes) == set(whole.episodes)
    assert len(train) + len(test) == len(whole)
    assert abs(len(test.episodes) - episodes * fraction) <= 1
    assert min(len(train), len(test)) > 0
    again, _ = whole.split(fraction, seed)
    assert np.array_equal(again.episode, train.episode)


def test_split_parts_are_marked_and_keep_the_hash(dataset):
    train, test = dataset.split()
    assert (train.parameters["part"], test.parameters["part"]) == ("train", "test")
    assert train.digest == test.digest == dataset.digest
    assert "part" not in dataset.parameters
    others = {tuple(dataset.split(0.5, seed=s)[1].episodes) for s in range(8)}
    assert len(others) > 1


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_a_fraction_must_be_inside(dataset, fraction):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        dataset.split(fraction)


def test_one_episode_cannot_be_split():
    with pytest.raises(ValueError, match="at least 2 episodes, got 1"):
        make(episodes=1).split()


def test_standardised_training_data_have_mean_0_and_deviation_1(dataset):
    train, test = dataset.split()
    standardiser = Standardiser.fit(train)
    values = train.tensors(standardiser)["sensor"].reshape(-1, 20)
    assert torch.allclose(values.mean(0), torch.zeros(20), atol=1e-3)
    assert torch.allclose(values.std(0), torch.ones(20), atol=1e-2)
    assert test.tensors(standardiser)["sensor"].reshape(-1, 20).mean(0).abs().max() > 1e-2


def test_the_test_part_has_no_say_in_the_standardiser():
    whole = make()
    train, test = whole.split(seed=1)
    moved = whole["sensor"].copy()
    moved[np.isin(whole.episode, test.episodes)] += 1000
    other, _ = with_arrays(whole, sensor=moved).split(seed=1)
    assert np.array_equal(Standardiser.fit(train).mean["sensor"], Standardiser.fit(other).mean["sensor"])
    with pytest.raises(ValueError, match="this is a test part"):
        Standardiser.fit(test)
    with pytest.raises(ValueError, match="at least one sample"):
        Standardiser.fit(train.select(np.zeros(len(train), dtype=bool), "train"))


def test_standardising_inverts_and_survives_a_still_channel():
    whole = make()
    still = whole["sensor"].copy()
    still[..., 1] = 7
    whole = with_arrays(whole, sensor=still)
    standardiser = Standardiser.fit(whole)
    assert standardiser.scale["sensor"][1] == 1
    assert standardiser.constant == {"sensor": ("b",), "signal": ()}
    raw = whole.tensors()["sensor"]
    flat = standardiser.apply(raw)
    assert torch.isfinite(flat).all() and torch.allclose(standardiser.invert(flat), raw, atol=1e-4)
    assert torch.allclose(flat, whole.tensors(standardiser)["sensor"])
    with pytest.raises(ValueError, match="multiple of 3 channels, got 4"):
        standardiser.apply(torch.zeros(2, 4))


def test_tensors_keep_pixels_and_time_in_place():
    whole = make()
    tensors = whole.tensors()
    assert tensors["camera"].shape == (20, 3, 8, 8) and tensors["camera"].dtype == torch.float32
    assert tensors["camera"][3, 2, 5, 1].item() == pytest.approx(whole["camera"][3, 5, 1, 2] / 255)
    assert tensors["camera"].min() >= 0 and tensors["camera"].max() <= 1
    assert tensors["sensor"].shape == (20, 12)
    assert tensors["sensor"][3, 2 * 3 + 1].item() == whole["sensor"][3, 2, 1]


def test_every_window_modality_is_standardised_by_itself():
    whole = make()
    standardiser = Standardiser.fit(whole)
    for name, tensor in whole.tensors(standardiser).items():
        if name != "camera":
            assert abs(tensor.mean().item()) < 1e-4 and tensor.std().item() == pytest.approx(1, rel=0.02)
    signal = whole.tensors()["signal"]
    assert torch.allclose(standardiser.invert(standardiser.apply(signal, "signal"), "signal"), signal, atol=1e-3)
    with pytest.raises(ValueError, match="knows .*'sensor', 'signal'.*, not 'sound'"):
        standardiser.apply(signal, "sound")


def test_some_of_the_modalities():
    two = make().only(["signal", "camera"])
    assert list(two.modalities) == list(two.tensors()) == ["signal", "camera"]
    assert two.windows == ["signal"] and two.widths == {"signal": 2} and list(two.channels) == ["signal"]
    with pytest.raises(ValueError, match="has the modalities .*'signal', 'camera'.*, not 'sensor'"):
        two["sensor"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera": np.zeros((20, 8, 8, 3))}, "camera must be pictures, uint8"),
        ({"camera": np.zeros((20, 8, 8), np.uint8)}, "camera must be pictures, uint8"),
        ({"sensor": np.zeros((20, 12), np.float32)}, "sensor must be .* float32"),
        ({"sensor": np.zeros((20, 4, 2), np.float32)}, "3 channel names for 2 channels of sensor"),
        ({"signal": np.zeros((19, 4, 2), np.float32)}, "differ in length: camera 20, sensor 20, signal 19, episode 20"),
        ({"sensor": np.full((20, 4, 3), np.nan, np.float32)}, "sensor holds values that are not finite"),
        ({"sound": np.zeros((20, 4, 1), np.float32)}, "0 channel names for 1 channels of sound"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        with_arrays(make(), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"episode": np.zeros(20)}, "episode must be integers"),
        ({"modalities": {}}, "at least one modality"),
        ({"channels": {"sensor": ("a", "b", "c"), "signal": ("x", "y"), "camera": ()}}, "no modalities of windows"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(make(), **change)
