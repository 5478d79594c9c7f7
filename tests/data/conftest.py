"""One small simulated data set, shared by the tests of this folder."""

import pytest

from mmfusion import data


@pytest.fixture(scope="session")
def cell():
    from mmfusion.data.scenes import build

    return build("pick-and-place")


@pytest.fixture(scope="session")
def episodes(cell):
    """Six whole episodes without pictures."""
    from mmfusion.data.simulated import record

    return [record(cell, 11, index) for index in range(6)]


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def stored(root):
    """130 frames: three whole episodes and the beginning of a fourth."""
    return data.obtain("pick-and-place", root, frames=130, size=16, seed=3)


@pytest.fixture(scope="session")
def dataset(stored):
    return stored.dataset
