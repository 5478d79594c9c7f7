"""Printed tables as data: read whole, refused where a number is missing or is none."""

from pathlib import Path

import pytest
import yaml

from mmfusion import printed

ROOT = Path(__file__).resolve().parents[1]
WHOLE = {
    "where": "Table 9", "data": "made up", "unit": 0.1, "decimals": 2, "trials": 4, "columns": ["a", "b"],
    "blocks": {"training": {"sum": [[1, 0.5], [2.25, 0]], "concat": [[3, 1], [4, 1]]}},
}  # fmt: skip


def written(folder, table):
    path = folder / "paper.yml"
    path.write_text(yaml.safe_dump({"table-9": table}, sort_keys=False))
    return path


def test_a_table_comes_back_as_printed(tmp_path):
    table = printed.read(written(tmp_path, WHOLE))["table-9"]
    assert (table.columns, table.blocks, table.rows) == (("a", "b"), ("training",), ("sum", "concat"))
    assert table.mean["training", "b", "sum"] == 2.25 and table.sd["training", "a", "concat"] == 1
    assert table.half_unit == pytest.approx(0.005)
    assert (table.unit, table.trials, table.where, table.data) == (0.1, 4, "Table 9", "made up")


def test_paper_a():
    tables = printed.read("paper-a")
    assert list(tables) == ["table-1", "table-2"]
    assert {len(table.mean) for table in tables.values()} == {18, 24}
    for table in tables.values():
        assert table.rows == ("sum", "concat", "attention") and table.trials == 10
        for block in table.blocks:
            for row in table.rows:
                *parts, total = (table.mean[block, column, row] for column in table.columns)
                assert total == pytest.approx(sum(parts), abs=0.0021)


def test_the_folder_is_found_from_below_and_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT / "tests")
    assert printed.folder() == ROOT / "printed"
    monkeypatch.chdir(tmp_path)
    assert printed.folder() == ROOT / "printed"
    (tmp_path / "printed").mkdir()
    assert printed.folder() == tmp_path / "printed"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": {"training": {"sum": [[1, 0.5]]}}}, "training, sum wants 2 pairs"),
        ({"blocks": {"training": {"sum": [[1, 0.5], [2]]}}}, r"training, sum, b is \[2\], wanted a mean"),
        ({"blocks": {"training": {"sum": [[1, 0.5], [2, -1]]}}}, "standard deviation from zero"),
        ({"blocks": {"training": {"sum": [[1, 0.5], ["2", 1]]}}}, "standard deviation from zero"),
        ({"blocks": {"training": {"sum": [[1, 0.5], [float("nan"), 1]]}}}, "standard deviation from zero"),
        ({"blocks": {**WHOLE["blocks"], "testing": {"sum": [[1, 1], [1, 1]]}}}, "block 'testing' has the rows"),
        ({"blocks": {}}, "blocks must map names to rows"),
        ({"extra": 1}, "wanted exactly the fields"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        printed.read(written(tmp_path, {**WHOLE, **change}))


def test_a_missing_or_foreign_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot read printed tables from"):
        printed.read("paper-z")
    (tmp_path / "list.yml").write_text("- 1\n")
    with pytest.raises(ValueError, match="holds list, wanted tables by id"):
        printed.read(tmp_path / "list.yml")
