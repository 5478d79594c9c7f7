"""Shared by all tests: one thread (the workers run side by side) and no display."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture
def ledger():
    """A ledger with one claim of each kind."""
    from mmfusion.claims import Claim, Ledger

    kinds = {"Z-M": "mathematical", "Z-E": "empirical", "Z-A": "arithmetic"}
    return Ledger([Claim(name, kind, "§ 1", "t", "$a<b$ & more", "d") for name, kind in kinds.items()])


@pytest.fixture
def check(ledger):
    """Evidence about the claims of `ledger`, kept in memory."""
    from mmfusion.claims import Check

    return Check("folder/page", claims=ledger)
