"""What the page of findings supposes of the evidence, read from its source without running it."""

from __future__ import annotations

import ast
from pathlib import Path

import jupytext
import pytest

from mmfusion import claims

ROOT = Path(__file__).resolve().parents[1]


def told() -> list[tuple[str, dict[str, str | tuple[str, ...]]]]:
    """Name and supposed verdicts of each finding."""
    found = []
    for cell in jupytext.read(ROOT / "book/findings.md").cells:
        for node in ast.walk(ast.parse(cell.source)) if cell.cell_type == "code" else ():
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "found":
                found.append((node.args[1].value, ast.literal_eval(node.args[-1])))
    return found


def test_ten_findings_on_all_four_papers() -> None:
    found = told()
    assert len(found) == len({name for name, _ in found}) == 10
    assert {next(iter(supposes))[0] for _, supposes in found} == set("ABCD")


@pytest.mark.parametrize(("name", "supposes"), told())
def test_findings_rest_on_mathematics(name: str, supposes: dict[str, str | tuple[str, ...]]) -> None:
    """A finding speaks of claims that no profile and no seed can turn."""
    ledger = claims.Ledger.load(ROOT / "claims.yml")
    assert [ledger[claim].kind for claim in supposes] == ["mathematical"] * len(supposes), name
