"""The claims file, the records of evidence, and what is read from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mmfusion import claims, records, verdicts
from mmfusion.claims import Check, Claim, ClaimError, Ledger

ROOT = Path(__file__).resolve().parents[1]
ROW = {"id": "Z-1", "kind": "mathematical", "where": "§ 1", "title": "t", "statement": "$x<1$", "decided_by": "d"}


def row(**changes: Any) -> dict[str, Any]:
    return {**ROW, **changes}


def write(folder: Path, content: Any) -> Path:
    path = folder / "claims.yml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True))
    return path


# ------------------------------------------------------------------------------------------------- the claims file
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("- id: [", "is not YAML"),
        ("id: Z-1", "wanted a list of claims"),
        ("", "wanted a list of claims"),
        ([{"kind": "mathematical"}], "entry 1 .* has no id"),
        (["Z-1"], "entry 1 .* has no id"),
        ([row(), row()], "Z-1 is stated twice"),
        ([row(kind="poetic")], "'poetic', wanted one of mathematical, empirical, arithmetic"),
        ([row(verdict="proved")], "unknown field verdict"),
        ([{k: v for k, v in ROW.items() if k != "statement"}], "no statement"),
        ([row(statement="  ")], "statement is '  ', wanted text"),
        ([row(reported=3)], "reported is 3, wanted text"),
        ([row(id="Z 1")], "holds spaces"),
        ([row(depends=["Z-2"])], "depends on unknown Z-2"),
        ([row(depends="Z-2")], "wanted a list of ids"),
        ([row(depends=["Z-1"])], "in a circle: Z-1 → Z-1"),
        ([row(depends=["Z-2"]), row(id="Z-2", depends=["Z-1"]), row(id="Z-0", depends=["Z-1"])], "in a circle"),
    ],
)
def test_bad_claims_file(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(ClaimError, match=words):
        Ledger.load(write(tmp_path, content))


def test_claims_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ClaimError, match="cannot read claims file"):
        Ledger.load(tmp_path / "none.yml")
    (tmp_path / "claims.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClaimError, match="cannot read claims file|is not YAML"):
        Ledger.load(tmp_path / "claims.yml")


def test_missing_notebook(tmp_path: Path) -> None:
    path = write(tmp_path, [row(notebook="folder/page")])
    assert Ledger.load(path)["Z-1"].notebook == "folder/page"
    with pytest.raises(ClaimError, match="claim Z-1 names notebook folder/page"):
        Ledger.load(path, notebooks=tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/page.md").touch()
    assert len(Ledger.load(path, notebooks=tmp_path).claims) == 1


def test_the_projects_claims() -> None:
    ledger = Ledger.load(ROOT / "claims.yml", notebooks=ROOT / "notebooks")
    of_a = [claim for claim in ledger.claims.values() if claim.paper == "A"]
    assert len(of_a) == 82
    assert {claim.kind for claim in of_a} == set(verdicts.KINDS)
    assert {claim.paper for claim in ledger.claims.values()} == set("ABCD")
    for claim in ledger.claims.values():
        assert claim.statement.count("$") % 2 == 0
        assert "$" not in claim.title


def test_claims_file_is_found_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, [row()])
    (tmp_path / "deep/down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep/down")
    assert claims.default_claims_file() == path
    monkeypatch.chdir(tmp_path.parent)
    assert claims.default_claims_file() == ROOT / "claims.yml"


def test_unknown_id(ledger: Ledger, check: Check) -> None:
    with pytest.raises(ClaimError, match="unknown claim 'Z-9'; claims.yml holds 3 claims"):
        ledger["Z-9"]
    with pytest.raises(ClaimError, match="unknown claim 'Z-9'"):
        check.proof("Z-9", {"step": True})


# ------------------------------------------------------------------------------------------------- records
def fill(check: Check) -> None:
    check.counterexample("Z-M", "an instance", claimed=1, observed=float("inf"))
    check.correction("Z-M", "$a\\le 2b$", {"step": np.bool_(True)})
    check.recompute("Z-A", {"a third": (0.333, 1 / 3, 0.0005)})


def test_round_trip_through_records(tmp_path: Path, ledger: Ledger) -> None:
    check = Check("folder/page", records=tmp_path, claims=ledger, starts=8)
    fill(check)
    assert (tmp_path / "folder/page.json").is_file()
    read = ledger.verdicts(tmp_path)
    assert list(read) == ["Z-M", "Z-E", "Z-A"]
    assert {name: str(read[name]) for name in ("Z-M", "Z-A")} == {n: str(v) for n, v in check.verdicts().items()}
    assert read["Z-M"].corrected == "$a\\le 2b$"
    assert read["Z-E"].verdict == "not yet examined"
    assert {item["notebook"] for item in read["Z-M"].evidence} == {"folder/page"}
    Check("folder/page", records=tmp_path, claims=ledger)
    assert ledger.verdicts(tmp_path)["Z-M"].verdict == "not yet examined"


def test_without_a_folder_nothing_is_written(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(Check("folder/page", claims=ledger))
    assert list(tmp_path.iterdir()) == []


def test_to_json(tmp_path: Path, ledger: Ledger) -> None:
    fill(Check("folder/page", records=tmp_path, claims=ledger))
    rows = {entry["id"]: entry for entry in ledger.to_json(tmp_path)}
    assert set(rows["Z-M"]) >= {"id", "kind", "verdict", "corrected", "notebook", "evidence", "anchor"}
    assert (rows["Z-M"]["verdict"], rows["Z-M"]["anchor"]) == ("refuted", "claim-Z-M")
    assert rows["Z-M"]["evidence"][0]["observed"] == "inf"
    json.dumps(list(rows.values()), allow_nan=False)
    assert ledger.to_json(tmp_path, paper="Z") == list(rows.values())
    assert ledger.to_json(tmp_path, paper="Y") == []


@pytest.mark.parametrize("damage", ["cut", "foreign", "no evidence", "part", "type", "null"])
def test_damaged_record(tmp_path: Path, ledger: Ledger, damage: str) -> None:
    fill(Check("folder/page", records=tmp_path, claims=ledger))
    path = tmp_path / "folder/page.json"
    record = json.loads(path.read_text())
    if damage == "foreign":
        record["schema"] = "run/1"
    elif damage == "no evidence":
        del record["evidence"]
    elif damage == "part":
        del record["evidence"][0]["ok"]
    elif damage == "type":
        record["evidence"][0]["type"] = "rumour"
    elif damage == "null":
        record["evidence"] = None
    text = json.dumps(record)
    path.write_text(text[: len(text) // 2] if damage == "cut" else text)
    with pytest.raises(records.RecordError, match="page.json"):
        ledger.verdicts(tmp_path)


def test_record_of_an_unknown_claim(tmp_path: Path, ledger: Ledger) -> None:
    fill(Check("folder/page", records=tmp_path, claims=ledger))
    with pytest.raises(ClaimError, match="page.json is about the unknown claim 'Z-M'"):
        Ledger([Claim(**ROW)]).verdicts(tmp_path)
