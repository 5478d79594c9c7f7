"""Tables as a paper prints them, read from a data file: ``printed/<name>.yml`` of this project.

A file maps a table's id to ``where`` it stands, what its ``data`` are, its ``columns``, and ``rows`` or ``blocks`` of
rows. A row lists one cell for each column, typed as printed: ``85.90``, ``85.0 ± 0.4``, or ``–`` where the paper prints
a dash. How far rounding can have moved a number is read off its digits. ``unit`` (what one printed unit is worth, 1
unless given) and ``trials`` (how many values stand behind a mean) are optional.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["DASH", "Table", "folder", "read"]

DASH = "–"
_NEEDED, _OPTIONAL = {"where", "data", "columns"}, {"unit", "trials", "rows", "blocks"}
_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_CELL = re.compile(rf"({_NUMBER})(?:\s*±\s*({_NUMBER}))?")
Cell = tuple[str, str, str]


@dataclass(frozen=True)
class Table:
    """A printed table.

    Attributes
    ----------
    where, data : place in the paper; on which data the numbers were taken.
    unit : what one printed unit is worth.
    trials : number of values behind each mean, or None where the table does not say.
    columns, blocks, rows : names, in the printed order; a table without blocks has one, named "".
    mean, sd, half : by (block, column, row): the number and its standard deviation as printed, that is in ``unit``, and
        half a unit in the number's last printed digit. A cell without a number, or without a deviation, is left out.
    """

    where: str
    data: str
    unit: float
    trials: int | None
    columns: tuple[str, ...]
    blocks: tuple[str, ...]
    rows: tuple[str, ...]
    mean: Mapping[Cell, float]
    sd: Mapping[Cell, float]
    half: Mapping[Cell, float]

    @property
    def half_unit(self) -> float:
        """The most by which rounding moved any number of the table."""
        return max(self.half.values())

    def at(self, row: str, column: str, block: str = "") -> float:
        """One number. Raises ``KeyError`` naming table, row and column where the table has none there."""
        return self._cell(self.mean, row, column, block)

    def slack(self, row: str, column: str, block: str = "") -> float:
        """The most by which rounding moved that number; errors as `at`."""
        return self._cell(self.half, row, column, block)

    def _cell(self, values: Mapping[Cell, float], row: str, column: str, block: str) -> float:
        try:
            return values[block, column, row]
        except KeyError:
            raise KeyError(
                f"{self.where} prints no number in row {row!r}, column {column!r}" + f", block {block!r}" * bool(block)
            ) from None


def folder() -> Path:
    """``printed`` of this project: in the folder one works in or above it, else beside the package.

    Raises ``ValueError`` where there is none.
    """
    here = Path.cwd()
    for parent in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (parent / "printed").is_dir():
            return parent / "printed"
    raise ValueError(f"no folder 'printed' in {here}, above it or beside the package")


def read(name: str | Path) -> dict[str, Table]:
    """All tables of a file, by id: of ``<name>.yml`` in :func:`folder`, or of the file at a path that ends in ``.yml``.

    Raises ``ValueError`` naming file, table, row and column: the file cannot be read, a field is missing or unknown, a
    name stands twice, blocks differ in their rows, or a cell is missing or is neither a number nor a dash.
    """
    path = Path(name) if Path(name).suffix == ".yml" else folder() / f"{name}.yml"
    try:
        # Every scalar stays text: 85.90 has two decimals, which a float forgets.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_TextLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read printed tables from {path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} holds {type(content).__name__}, wanted tables by id")
    return {key: _table(f"{path}, {key}", given) for key, given in content.items()}


class _TextLoader(yaml.BaseLoader):
    """Leaves every scalar as text, and refuses a name that stands twice (plain YAML keeps the last)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{', '.join(twice)} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _table(where: str, given: Any) -> Table:
    if not isinstance(given, dict) or not _NEEDED <= given.keys() <= _NEEDED | _OPTIONAL:
        raise ValueError(
            f"{where}: wanted the fields {', '.join(sorted(_NEEDED))}, one of rows and blocks, and perhaps unit, trials"
        )
    columns = given["columns"]
    if not (isinstance(columns, list) and columns and all(isinstance(name, str) for name in columns)):
        raise ValueError(f"{where}: columns must list names")
    if len(set(columns)) < len(columns):
        raise ValueError(f"{where}: a column stands twice in {columns}")
    if ("rows" in given) == ("blocks" in given):
        raise ValueError(f"{where}: wanted either rows or blocks")
    blocks = {"": given["rows"]} if "rows" in given else given["blocks"]
    if not (isinstance(blocks, dict) and blocks and all(isinstance(rows, dict) and rows for rows in blocks.values())):
        raise ValueError(f"{where}: blocks must map names to rows, and rows must map names to cells")
    rows = list(next(iter(blocks.values())))
    mean: dict[Cell, float] = {}
    sd: dict[Cell, float] = {}
    half: dict[Cell, float] = {}
    for block, named in blocks.items():
        if list(named) != rows:
            raise ValueError(f"{where}: block {block!r} has the rows {list(named)}, the first has {rows}")
        for row, cells in named.items():
            line = f"{where}: row {row!r}" + f" of block {block!r}" * bool(block)
            if not isinstance(cells, list) or len(cells) != len(columns):
                count = len(cells) if isinstance(cells, list) else 0
                missing = ", ".join(columns[count:])
                raise ValueError(
                    f"{line} wants {len(columns)} cells, got {count}" + f"; column {missing} is missing" * bool(missing)
                )
            for column, text in zip(columns, cells, strict=True):
                if text == DASH:
                    continue
                cell = block, column, row
                mean[cell], spread, half[cell] = _number(f"{line}, column {column!r}", text)
                if spread is not None:
                    sd[cell] = spread
    unit, trials = _positive(f"{where}: unit", given.get("unit", "1")), given.get("trials")
    if trials is not None and not (isinstance(trials, str) and trials.isdecimal() and int(trials) > 0):
        raise ValueError(f"{where}: trials is {trials!r}, wanted a whole number from 1")
    return Table(
        given["where"], given["data"], unit, None if trials is None else int(trials),
        tuple(columns), tuple(blocks), tuple(rows), mean, sd, half,
    )  # fmt: skip


def _number(where: str, text: Any) -> tuple[float, float | None, float]:
    """Value, standard deviation and half a unit of the value's last digit."""
    match = _CELL.fullmatch(text) if isinstance(text, str) else None
    if match is None or (match[2] is not None and float(match[2]) < 0):
        raise ValueError(f"{where} is {text!r}, wanted a number, a number ± a standard deviation, or {DASH}")
    decimals = len(match[1].partition(".")[2])
    return float(match[1]), None if match[2] is None else float(match[2]), 0.5 * 10.0**-decimals


def _positive(where: str, text: Any) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{where} is {text!r}, wanted a positive number")
    return value
