"""Printed tables as data: read whole, refused where a number is missing or is none."""

import math
from pathlib import Path

import pytest
import yaml

from mmfusion import printed

ROOT = Path(__file__).resolve().parents[1]
WHOLE = {
    "where": "Table 9", "data": "made up", "unit": "0.1", "trials": "4", "columns": ["a", "b"],
    "blocks": {"training": {"sum": ["1 ± 0.5", "2.25 ± 0"], "concat": ["3.10", "–"]}},
}  # fmt: skip


def written(folder, table):
    path = folder / "paper.yml"
    path.write_text(yaml.safe_dump({"table-9": table}, sort_keys=False))
    return path


def test_a_table_comes_back_as_printed(tmp_path):
    table = printed.read(written(tmp_path, WHOLE))["table-9"]
    assert (table.columns, table.blocks, table.rows) == (("a", "b"), ("training",), ("sum", "concat"))
    assert table.mean["training", "b", "sum"] == 2.25 and table.sd["training", "a", "sum"] == 0.5
    assert (table.unit, table.trials, table.where, table.data) == (0.1, 4, "Table 9", "made up")
    assert table.at("concat", "a", "training") == 3.1 and ("training", "a", "concat") not in table.sd


def test_rounding_is_read_off_the_digits(tmp_path):
    table = printed.read(written(tmp_path, WHOLE))["table-9"]
    assert [table.slack(*cell, "training") for cell in (("sum", "a"), ("sum", "b"), ("concat", "a"))] == [
        0.5,
        0.005,
        0.005,
    ]
    assert table.half_unit == 0.5


def test_a_dash_is_no_number_and_says_so(tmp_path):
    table = printed.read(written(tmp_path, WHOLE))["table-9"]
    assert ("training", "b", "concat") not in table.mean
    with pytest.raises(KeyError, match="Table 9 prints no number in row 'concat', column 'b', block 'training'"):
        table.at("concat", "b", "training")
    with pytest.raises(KeyError, match="row 'mean', column 'a'"):
        table.slack("mean", "a")


def test_a_table_without_blocks(tmp_path):
    plain = {"where": "Table 1", "data": "made up", "columns": ["x"], "rows": {"ours": ["-3.79"]}}
    table = printed.read(written(tmp_path, plain))["table-9"]
    assert (table.blocks, table.at("ours", "x"), table.unit, table.trials) == (("",), -3.79, 1, None)


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


# Cells and their sum, taken from the paper's text and not from the file: a mistyped digit changes the sum.
PAPER_B = {
    "table-1": (16, 1036.53), "table-2": (8, 547.48), "table-3": (8, 577.56), "table-4": (64, 206.0339),
    "table-5": (16, 15.4379), "table-6": (30, 792.5158), "table-7": (12, 1087.96), "table-8": (63, 4547.02),
    "table-9": (20, 1431.91), "table-10": (15, 309.169), "table-11": (6, 15.107), "table-12": (58, 2672.15),
    "table-13": (12, 6.0994), "text-4.2": (22, 891.31), "text-classes": (2, 65), "text-4.3": (1, 1.3),
    "text-5.2": (2, 7.32), "text-C.1": (12, 706.54), "text-C.2": (5, 193.66), "text-C.3": (2, 2.8),
    "text-C.4": (1, 1.21), "text-C.6": (9, 339.9),
}  # fmt: skip


def test_paper_b_is_whole():
    tables = printed.read("paper-b")
    assert list(tables) == list(PAPER_B)
    for name, (cells, total) in PAPER_B.items():
        assert len(tables[name].mean) == cells, name
        assert sum(tables[name].mean.values()) == pytest.approx(total, abs=1e-9), name
    first = tables["table-1"]
    assert len(first.sd) == 16 and sum(first.sd.values()) == pytest.approx(8.48) and first.trials == 3
    assert {len(tables[name].blocks) for name in ("table-4", "table-12")} == {4}


def test_paper_b_repeats_itself():
    """Numbers that the paper prints or implies twice stand in the right cells; the exceptions are the paper's own."""
    tables = printed.read("paper-b")
    first, eighth, twelfth = (tables[f"table-{number}"] for number in (1, 8, 12))
    for data in first.columns:
        assert [twelfth.at(row, "clean", data) for row in first.rows] == [first.at(row, data) for row in first.rows]
        assert tables["table-9"].at("DML", data) == tables["table-3"].at(data, "DML") == first.at("DML", data)
        assert tables["table-9"].at("SML", data) == first.at("SML", data)
        assert tables["table-9"].at("SML + SAM", data) == tables["table-3"].at(data, "SML + SAM")
    unlike = {
        (model, data) for data in first.columns for model in ("SML", "DML")
        if eighth.mean.get((model, data, "none")) != first.at(model, data)
    }  # fmt: skip
    assert unlike == {("SML", "AVMNIST"), ("DML", "Food101")}
    assert all(eighth.mean[cell] == value for cell, value in tables["table-2"].mean.items())
    drops = {
        cell: 100 * (1 - twelfth.at(cell[2], f"{cell[1][0]} attacked", cell[0]) / twelfth.at(cell[2], "clean", cell[0]))
        for cell in twelfth.mean if cell[1].endswith("drop")
    }  # fmt: skip
    assert [cell for cell, found in drops.items() if abs(found - twelfth.mean[cell]) > 0.02] == [
        ("AVMNIST", "j drop", "DML")
    ]


def test_paper_c():
    tables = printed.read("paper-c")
    sizes = {f"table-{k}": size for k, size in enumerate((18, 36, 22, 28, 25, 16, 11), 1)}
    sizes |= {"text-1": 5, "text-2": 6, "text-3": 8, "text-4": 4, "text-5": 10, "text-7": 12}
    sizes |= {"ranges": 4, "splits": 9, "sensitivity": 4}
    assert {name: len(table.mean) for name, table in tables.items()} == sizes
    assert {name for name, table in tables.items() if table.sd} == {"table-6"} and tables["table-6"].trials == 3
    for name in ("text-1", "text-2", "text-3", "text-4", "text-5", "text-7"):
        table, text = tables[name.replace("text", "table")], tables[name]
        assert set(text.rows) - {"epochs"} <= set(table.rows) and set(text.columns) <= set(table.columns)


@pytest.mark.parametrize(
    ("name", "sums"),
    [
        ("table-1", (57.39, 127.26, 219.68, 343.35)),
        ("table-2", (757.56, 753.90, 749.39, 745.54)),
        ("table-3", (491.55, -24.00, 228.94, -19.82)),
        ("table-4", (327.72, 298.89, 292.69, 274.78, 306.02, 301.39, 289.14)),
        ("table-5", (244, 605, 17.1, 0.440, 193.0)),
        ("table-6", (491.8, 515.8)),
    ],
)
def test_sums_of_paper_c(name, sums):
    """The sums were taken from the paper's text, not from the file: they notice a mistyped cell."""
    table = printed.read("paper-c")[name]
    columns = [(block, column) for block in table.blocks for column in table.columns]
    for (block, column), total in zip(columns, sums, strict=True):
        cells = [table.mean[block, column, row] for row in table.rows if (block, column, row) in table.mean]
        assert sum(cells) == pytest.approx(total, abs=1e-9), (block, column)


def test_rounding_in_paper_c():
    tables = printed.read("paper-c")
    places = {"table-1": {2}, "table-2": {1, 2}, "table-3": {2}, "table-4": {2}, "table-6": {1}}
    for name, wanted in places.items():
        assert {round(-math.log10(2 * half)) for half in tables[name].half.values()} == wanted
    assert [key for key, half in tables["table-2"].half.items() if half > 0.01] == [("IEMOCAP", "accuracy", "DEF+AAF")]
    assert (sum(tables["table-6"].sd.values()), tables["table-5"].slack("DEF+AAF", "inference")) == (
        pytest.approx(2.7 + 2.1),
        0.0005,
    )


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
        (
            {"blocks": {"training": {"sum": ["1"]}}},
            "row 'sum' of block 'training' wants 2 cells, got 1; column b is missing",
        ),
        ({"blocks": {"training": {"sum": ["1", "2", "3"]}}}, "wants 2 cells, got 3"),
        (
            {"blocks": {"training": {"sum": ["1", ""]}}},
            "table-9: row 'sum' of block 'training', column 'b' is '', wanted a number",
        ),
        ({"blocks": {"training": {"sum": ["1", "2 ± -1"]}}}, "wanted a number, a number ± a standard deviation"),
        ({"blocks": {"training": {"sum": ["1", "two"]}}}, "column 'b' is 'two', wanted a number"),
        ({"blocks": {"training": {"sum": ["1", ".nan"]}}}, "column 'b' is '.nan', wanted a number"),
        ({"blocks": {"training": {"sum": ["1", ["2"]]}}}, "column 'b' is .*, wanted a number"),
        ({"blocks": {**WHOLE["blocks"], "testing": {"sum": ["1", "1"]}}}, "block 'testing' has the rows"),
        ({"blocks": {}}, "blocks must map names to rows"),
        ({"rows": {"sum": ["1", "1"]}}, "wanted either rows or blocks"),
        ({"columns": ["a", "a"]}, "a column stands twice"),
        ({"columns": "ab"}, "columns must list names"),
        ({"unit": "-1"}, "unit is '-1', wanted a positive number"),
        ({"trials": "0"}, "trials is '0', wanted a whole number"),
        ({"extra": "1"}, "wanted the fields"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        printed.read(written(tmp_path, {**WHOLE, **change}))


def test_a_name_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "paper.yml"
    path.write_text("t:\n  where: w\n  data: d\n  columns: [x]\n  rows:\n    ours: [1]\n    ours: [2]\n")
    with pytest.raises(ValueError, match="ours stands twice"):
        printed.read(path)


def test_a_missing_or_foreign_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot read printed tables from"):
        printed.read("paper-z")
    (tmp_path / "list.yml").write_text("- 1\n")
    with pytest.raises(ValueError, match="holds list, wanted tables by id"):
        printed.read(tmp_path / "list.yml")
