"""Tables as a paper prints them, read from a data file: ``printed/<name>.yml`` of this project.

A file maps a table's id to ``where`` it stands, its ``data``, ``unit``, ``decimals``, number of ``trials``, ``columns``
and ``blocks``; a block maps a row's name to one pair (mean, standard deviation) for each column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Table", "folder", "read"]

_FIELDS = {"where", "data", "unit", "decimals", "trials", "columns", "blocks"}
Cell = tuple[str, str, str]


@dataclass(frozen=True)
class Table:
    """A printed table of means and standard deviations.

    Attributes
    ----------
    where, data : place in the paper; on which data the numbers were taken.
    unit : what one printed unit is worth.
    decimals : digits printed after the point.
    trials : number of values behind each mean.
    columns, blocks, rows : names, in the printed order.
    mean, sd : by (block, column, row), as printed, that is in ``unit``.
    """

    where: str
    data: str
    unit: float
    decimals: int
    trials: int
    columns: tuple[str, ...]
    blocks: tuple[str, ...]
    rows: tuple[str, ...]
    mean: Mapping[Cell, float]
    sd: Mapping[Cell, float]

    @property
    def half_unit(self) -> float:
        """Half a unit in the last printed digit: the most by which rounding moved a number."""
        return 0.5 * 10.0**-self.decimals


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

    Raises ``ValueError`` naming the file: it cannot be read, a field is missing or unknown, rows differ between blocks,
    or a cell is no pair of a number and a standard deviation from zero.
    """
    path = Path(name) if Path(name).suffix == ".yml" else folder() / f"{name}.yml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read printed tables from {path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} holds {type(content).__name__}, wanted tables by id")
    return {key: _table(f"{path}, {key}", given) for key, given in content.items()}


def _table(where: str, given: Any) -> Table:
    if not isinstance(given, dict) or given.keys() != _FIELDS:
        raise ValueError(f"{where}: wanted exactly the fields {', '.join(sorted(_FIELDS))}")
    columns, blocks = given["columns"], given["blocks"]
    if not (isinstance(blocks, dict) and blocks and all(isinstance(rows, dict) and rows for rows in blocks.values())):
        raise ValueError(f"{where}: blocks must map names to rows")
    rows = list(next(iter(blocks.values())))
    mean, sd = {}, {}
    for block, named in blocks.items():
        if list(named) != rows:
            raise ValueError(f"{where}: block {block!r} has the rows {list(named)}, the first has {rows}")
        for row, cells in named.items():
            if not isinstance(cells, list) or len(cells) != len(columns):
                raise ValueError(f"{where}: {block}, {row} wants {len(columns)} pairs, got {cells}")
            for column, cell in zip(columns, cells, strict=True):
                mean[block, column, row], sd[block, column, row] = _pair(f"{where}: {block}, {row}, {column}", cell)
    return Table(
        given["where"], given["data"], float(given["unit"]), int(given["decimals"]), int(given["trials"]),
        tuple(columns), tuple(blocks), tuple(rows), mean, sd,
    )  # fmt: skip


def _pair(where: str, cell: Any) -> tuple[float, float]:
    numbers = isinstance(cell, list) and len(cell) == 2 and all(type(value) in (int, float) for value in cell)
    if not numbers or not all(map(math.isfinite, cell)) or cell[1] < 0:
        raise ValueError(f"{where} is {cell}, wanted a mean and a standard deviation from zero")
    return float(cell[0]), float(cell[1])
