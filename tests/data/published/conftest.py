"""Folders in the published layouts, and a cache folder of their own."""

import pytest

from tests.data import published_fixtures as fixtures


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("MMFUSION_CACHE", str(folder))
    return folder


@pytest.fixture
def robomnist(tmp_path):
    """Four recordings of 36 pictures, in the subfolders of two digits."""
    return fixtures.robomnist(tmp_path / "robomnist")


@pytest.fixture
def one(tmp_path):
    """A single recording, to be damaged: its folder and its stem."""
    return tmp_path / "one", fixtures.recording(tmp_path / "one")


@pytest.fixture
def industrial(tmp_path):
    """Three recordings of 60 samples."""
    for number in range(3):
        fixtures.industrial(tmp_path / "industrial" / f"r{number}.npz")
    return tmp_path / "industrial"
