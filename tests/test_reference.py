"""Verdicts and constants stay what they are: a change must be seen and meant.

`tests/reference/verdicts.json` is written by `python tests/test_reference.py`, from the records of `make preview`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmfusion.claims import Ledger

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "_build/smoke/records/claims"
REFERENCE = Path(__file__).parent / "reference/verdicts.json"


def found() -> dict[str, dict]:
    """Verdict and sharp constants of every mathematical and arithmetic claim, from the preview's records."""
    rows = {}
    for name, verdict in Ledger.load(ROOT / "claims.yml").verdicts(RECORDS).items():
        if verdict.claim.kind == "empirical":
            continue
        constants = [round(item["ours"], 6) for item in verdict.evidence if item["type"] == "sharper"]
        rows[name] = {"verdict": verdict.label, "corrected": verdict.corrected, "constants": constants}
    return rows


def test_verdicts_are_the_reference() -> None:
    """Every mathematical and arithmetic claim has the verdict, correction and constants that were published."""
    if not RECORDS.is_dir():
        pytest.skip("no records; make them with: make preview")
    now, then = found(), json.loads(REFERENCE.read_text(encoding="utf-8"))
    assert now == then


def test_nothing_mathematical_is_left_open() -> None:
    """The reference itself: no failed check, nothing unexamined, no refutation without what holds instead."""
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    assert not [name for name, row in reference.items() if row["verdict"] in ("check failed", "not yet examined")]
    assert not [name for name, row in reference.items() if row["verdict"] == "refuted" and not row["corrected"]]


if __name__ == "__main__":
    REFERENCE.parent.mkdir(exist_ok=True)
    REFERENCE.write_text(json.dumps(found(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
