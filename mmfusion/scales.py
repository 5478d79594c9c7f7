"""The same comparisons at two scales, side by side: never in one mean."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path

import pandas as pd

from mmfusion import decisions, plotting
from mmfusion.experiment import Experiment
from mmfusion.statistics import Comparison

LARGE = "paper"


class Note:
    """A sentence in place of a figure. Shows itself in a notebook."""

    def __init__(self, text: str):
        self.text = text

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/plain": self.text, "text/html": f'<p class="note">{html.escape(self.text)}</p>'}


def large(folder: str | PathLike, name: str, variants: Sequence[str], varied: Sequence[str] = ()) -> Experiment | None:
    """The experiment ``name`` from the records at paper scale, or ``None`` where one of the variants has none there.

    Raises ``ValueError`` for records that are there and do not fit together.
    """
    folder = Path(folder)
    if not all(any((folder / name / variant).glob("seed-*.json")) for variant in variants):
        return None
    return Experiment.read(folder, name, variants, varied=varied)


def beside(
    experiment: Experiment, folder: str | PathLike, variants: Sequence[str],
    headline: Callable[[Experiment], Iterable[Comparison]], *, name: str, caption: str = "",
    varied: Sequence[str] = (),
) -> plotting.Figure | Note:  # fmt: skip
    """A table of ``headline``'s comparisons on these runs and, in a column of its own, on those at paper scale.

    Parameters
    ----------
    experiment : what the page shows.
    folder : of the records at paper scale, laid out like any other.
    variants : those that ``headline`` compares; where one of them is missing there, a sentence takes the table's place.
    headline : the same questions of either experiment, in the same order.
    varied : settings that differ between variants on purpose.
    """
    if experiment.facts()["profile"] == LARGE:
        return Note("The numbers on this page are at paper scale.")
    other = large(folder, experiment.name, variants, varied)
    if other is None:
        return Note("Not yet run at paper scale.")
    here, there = experiment.facts(), other.facts()
    rows = [
        {
            "question": small.question,
            f"{here['profile']}, on {here['data'].split()[0]}": decisions.words(small),
            f"{LARGE} scale, on {there['data'].split()[0]}": decisions.words(big),
        }
        for small, big in zip(headline(experiment), headline(other), strict=True)
    ]
    facts = {key: f"{here[key]} | {there[key]}" for key in here}
    return plotting.table(
        pd.DataFrame(rows), name, provenance=facts,
        caption=caption or "The same comparisons at two scales. Differences carry a sign, the rest are ratios.",
    )  # fmt: skip
