"""Data prepared for a run, and found again from its record."""

import numpy as np
import pytest
import torch

from mmfusion import data
from mmfusion.data import catalogue, prepare
from mmfusion.data.dataset import MultimodalDataset


@pytest.fixture
def dataset():
    rng = np.random.default_rng(0)
    return MultimodalDataset(
        modalities={
            "camera": rng.integers(0, 255, (12, 8, 8, 3), dtype=np.uint8),
            "sensor": rng.normal(3, 2, (12, 4, 3)).astype(np.float32),
            "signal": rng.normal(size=(12, 2, 5)).astype(np.float32),
        },
        episode=np.repeat(np.arange(4), 3),
        channels={"sensor": tuple("abc"), "signal": tuple("vwxyz")}, digest="d" * 64, parameters={},
    )  # fmt: skip


def record(**changes):
    return {
        "dataset": {"name": "toy", "digest": "d" * 64, "frames": 12, "size": 8, "seed": 1},
        "provenance": {"test_fraction": 0.5}, "modalities": {"camera": [3, 8, 8], "signal": [10]},
        "config": {"samples": {"train": 6, "test": 6}}, **changes,
    }  # fmt: skip


def test_the_standardiser_sees_training_episodes_only(dataset):
    found = prepare.prepared(dataset, 0.25, seed=0)
    assert not set(found.train.episodes) & set(found.test.episodes)
    train, test = found.train_set["sensor"], found.test_set["sensor"]
    assert train.shape == (9, 12) and test.shape == (3, 12)
    assert train.unflatten(1, (4, 3)).mean((0, 1)).abs().max() < 1e-5
    assert test.unflatten(1, (4, 3)).mean((0, 1)).abs().max() > 1e-2


def test_damage_knows_the_channels_and_follows_the_generator(dataset):
    found = prepare.prepared(dataset)
    batch = {name: rows[:2] for name, rows in found.test_set.items()}
    first, second = (found.damaged(batch, 0.5, torch.Generator().manual_seed(1)) for _ in range(2))
    for name, rows in batch.items():
        assert torch.equal(first[name], second[name]) and not torch.equal(first[name], rows)


def test_a_record_leads_back_to_its_data(dataset, monkeypatch):
    asked = []
    monkeypatch.setattr(catalogue, "load", lambda *a, **k: asked.append((a, k)) or dataset)
    found = prepare.of_record(record(), root="somewhere")
    assert asked == [(("toy",), {"root": "somewhere", "frames": 12, "size": 8, "seed": 1, "progress": False})]
    expected = dataset.only(["camera", "signal"]).split(0.5, 1)
    assert list(found.test_set) == ["camera", "signal"]
    assert np.array_equal(found.test["signal"], expected[1]["signal"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": record()["dataset"] | {"digest": "e" * 64}}, "made on toy eeeeeeeeeeee, the data here are dddd"),
        ({"provenance": {}}, "had samples .*'train': 6.* give .*'train': 9"),
        ({"modalities": {"radar": [3]}}, "not 'radar'"),
    ],
)
def test_other_data_are_refused(dataset, monkeypatch, changes, words):
    monkeypatch.setattr(catalogue, "load", lambda *a, **k: dataset)
    with pytest.raises(ValueError, match=words):
        prepare.of_record(record(**changes))


def test_unknown_data_are_an_error_of_the_data():
    with pytest.raises(data.DataError, match="unknown data set 'toy'"):
        prepare.of_record(record())
