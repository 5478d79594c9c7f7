"""The papers' figures and tables, each with the page of the book that holds its counterpart, as data and as HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from mmfusion.claims import ClaimError
from mmfusion.graph import MARKS
from mmfusion.verdicts import Verdict

__all__ = ["Exhibit", "read", "table"]


@dataclass(frozen=True)
class Exhibit:
    """A printed figure or table and its counterpart.

    ``id`` is ``figure-4`` or ``table-1``; ``page`` a notebook; ``experiment`` names the runs that it draws; ``claims``
    are what the paper concludes from it.
    """

    id: str
    paper: str
    title: str
    page: str
    experiment: str
    claims: tuple[str, ...]

    @property
    def name(self) -> str:
        """As the paper prints it: ``Figure 4``."""
        kind, number = self.id.split("-")
        return f"{kind.capitalize()} {number}"

    @property
    def anchor(self) -> str:
        """Target on the page that holds the counterpart."""
        return f"exhibit-{self.id}"


def read(path: str | Path) -> list[Exhibit]:
    """The exhibits of a YAML file, in its order.

    Raises `ClaimError` for a file that is not there or not a list, a missing or unknown field, or an id given twice.
    """
    try:
        rows = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClaimError(f"cannot read exhibits from {path}: {' '.join(str(error).split())}") from error
    names = {field.name for field in fields(Exhibit)}
    if not isinstance(rows, list):
        raise ClaimError(f"{path} holds {type(rows).__name__}, wanted a list of exhibits")
    found: dict[str, Exhibit] = {}
    for position, row in enumerate(rows, 1):
        if not isinstance(row, dict) or row.keys() != names or not isinstance(row["claims"], list):
            raise ClaimError(f"exhibit {position} of {path} is {row!r}, wanted the fields {', '.join(sorted(names))}")
        texts = [*row["claims"], *(value for name, value in row.items() if name != "claims")]
        if not all(isinstance(text, str) for text in texts) or not re.fullmatch(r"(figure|table)-\d+", row["id"]):
            raise ClaimError(f"exhibit {position} of {path} is {row!r}, wanted text in every field, as id figure-4")
        if row["id"] in found:
            raise ClaimError(f"exhibit {row['id']} stands twice in {path}")
        found[row["id"]] = Exhibit(**{**row, "claims": tuple(row["claims"])})
    return list(found.values())


def table(
    exhibits: Iterable[Exhibit], verdicts: Mapping[str, Verdict], data: Mapping[str, str], root: str = "../notebooks"
) -> str:
    """One row per exhibit: what the paper shows, link to the counterpart, data of the runs, verdicts of its claims.

    ``data`` says, by experiment, on which data its runs were made. Raises `ClaimError` for a claim without a verdict
    or an experiment without data.
    """
    rows = []
    for exhibit in exhibits:
        missing = [name for name in exhibit.claims if name not in verdicts]
        if missing or exhibit.experiment not in data:
            raise ClaimError(f"{exhibit.name}: nothing is known of {', '.join(missing) or exhibit.experiment}")
        link = html.escape(f"{root}/{exhibit.page}.html#{exhibit.anchor}")
        found = "<br>".join(_verdict(verdicts[name]) for name in exhibit.claims)
        rows.append(
            f'<tr><th scope="row"><a href="{link}">{exhibit.name}</a></th><td data-label="Shows">'
            f'{html.escape(exhibit.title)}</td><td data-label="Our data">{html.escape(data[exhibit.experiment])}</td>'
            f'<td data-label="Verdict">{found}</td></tr>'
        )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("In the paper", "Shows", "Our data", "Verdict"))
    return (
        '<table class="ledger exhibits"><caption>Every figure and table of results, and its counterpart here</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _verdict(verdict: Verdict) -> str:
    name = html.escape(verdict.claim.id)
    return (
        f'<a href="ledger.html#row-{name}">{name}</a> <span class="ledger-verdict verdict-{verdict.slug}">'
        f"{MARKS[verdict.verdict]} {html.escape(verdict.label)}</span>"
    )
