"""An experiment read back: the runs of several variants over common seeds, as tables by epoch and seed."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from mmfusion import runs
from mmfusion.data import published


@dataclass(frozen=True, eq=False)
class Experiment:
    """Runs that may be compared: one data set, one setting but for what the variants vary, paired by seed.

    Attributes
    ----------
    folder, name, variants : where the records lie, and which were read.
    seeds : those that every variant has, ascending.
    found : the records, variants outermost.
    history : see :func:`mmfusion.runs.table`.
    """

    folder: Path
    name: str
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    found: tuple[Mapping[str, Any], ...]
    history: Any

    @classmethod
    def read(
        cls,
        folder: str | PathLike,
        name: str,
        variants: Sequence[str],
        *,
        least: int = 2,
        varied: Sequence[str] = (),
    ) -> Experiment:
        """Read the records below ``folder/name``.

        Parameters
        ----------
        variants : names of folders below it.
        least : seeds that the variants must share.
        varied : settings that differ between variants on purpose, such as ``learning_rate``.

        Raises
        ------
        ValueError : a variant has no records, too few common seeds, records of several data sets or settings.
        """
        folder = Path(folder)
        names = list(dict.fromkeys(variants))
        if not names:
            raise ValueError(f"experiment {name!r} wants at least one variant, got none")
        seeds_of = {v: _seeds(folder / name / v) for v in names}
        absent = [variant for variant, seeds in seeds_of.items() if not seeds]
        if absent:
            raise ValueError(
                f"no run records of {', '.join(absent)} in experiment {name!r} in {folder}; train each with "
                "notebooks/lipschitz/train.md (parameters experiment, variant, fusion and records), or name another "
                "folder with -p runs"
            )
        seeds = sorted(set.intersection(*seeds_of.values()))
        if len(seeds) < least:
            raise ValueError(
                f"the variants in {folder / name} share {len(seeds)} seeds; comparisons need at least {least}, "
                "a decision 5"
            )
        found = runs.read_runs(folder, name, names, seeds)
        digests = {run["dataset"]["digest"] for run in found}
        free = {"fusion_options", "adjusted", *varied}
        configs = {str({k: v for k, v in run["config"].items() if k not in free}) for run in found}
        if len(digests) > 1 or len(configs) > 1:
            raise ValueError(
                f"the records in {folder / name} come from {len(digests)} data sets and {len(configs)} settings, "
                f"wanted one of each; {_difference(found, free)}"
            )
        return cls(folder, name, tuple(names), tuple(seeds), tuple(found), runs.table(found))

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the first run; all runs share them but for what the variants vary."""
        return self.found[0]["config"]

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities, in the order of the model."""
        return list(self.found[0]["modalities"])

    @property
    def dataset(self) -> Mapping[str, Any]:
        """What the records say about the data set: at least ``name`` and ``digest``."""
        return self.found[0]["dataset"]

    @property
    def origin(self) -> str:
        """On which data, in words: as somebody published them, or made by this project in their stead."""
        name = self.dataset["name"]
        return f"{name}, as published" if name in published.READERS else f"{name}, our simulated stand-in"

    @property
    def conditions(self) -> str:
        """On which data and how long was trained, in words: evidence that travels without its page says so itself."""
        return f"{self.origin}, {self.config['epochs']} epochs"

    @property
    def diverged(self) -> dict[str, int]:
        """Number of runs of every variant that did not finish."""
        count = Counter(run["variant"] for run in self.found if run["status"] != "finished")
        return {variant: count[variant] for variant in self.variants}

    def facts(self) -> dict[str, Any]:
        """Provenance to print below a figure or table."""
        made = self.found[0]["provenance"]
        return {
            "profile": made.get("profile", "none"),
            "data": f"{self.dataset['name']} {self.dataset['digest'][:12]}",
            "seeds": list(self.seeds),
            "device": made["device"],
            "runs made at commit": made["commit"],
        }

    def record(self, variant: str, seed: int) -> Mapping[str, Any]:
        """The record of one run. Raises ``ValueError`` where there is none."""
        for run in self.found:
            if run["variant"] == variant and run["seed"] == seed:
                return run
        raise ValueError(f"experiment {self.name!r} has no run of {variant!r} with seed {seed}")

    def model(self, variant: str, seed: int) -> Any:
        """The trained model of one run; see :func:`mmfusion.runs.trained`."""
        return runs.trained(self.record(variant, seed), self.folder)

    def series(self, variant: str, kind: str, name: str) -> Any:
        """Values of the runs that did not diverge: epochs down, seeds across.

        ``kind`` is ``train``, ``test`` or ``measures``. Raises ``ValueError`` for a variant that was not read.
        """
        if variant not in self.variants:
            raise ValueError(f"experiment {self.name!r} was read with {list(self.variants)}, not {variant!r}")
        rows = self.history.loc[self._rows.get((variant, kind, name), [])]
        return rows.pivot(index="epoch", columns="seed", values="value").dropna(how="all")

    @cached_property
    def _rows(self) -> Mapping[tuple[str, str, str], Any]:
        """Where in the history each series lies: pages ask for hundreds of them."""
        finished = self.history[self.history.status == "finished"]
        return finished.groupby(["variant", "kind", "name"], sort=False).groups

    def at_end(self, variant: str, kind: str, name: str) -> dict[int, float]:
        """Last value of each seed; NaN where the run diverged."""
        table = self.series(variant, kind, name)
        return {s: float(table[s].dropna().iloc[-1]) if s in table else math.nan for s in self.seeds}


def _seeds(folder: Path) -> set[int]:
    """Seeds of the records in a folder; other files are none of ours."""
    found = (re.fullmatch(r"seed-(\d+)\.json", path.name) for path in folder.glob("seed-*.json"))
    return {int(match[1]) for match in found if match}


def _difference(found: Sequence[Mapping[str, Any]], free: set[str]) -> str:
    """In words, how the first record that differs from the first one does so."""
    first = found[0]
    for other in found[1:]:
        pairs = {
            name: (first["config"].get(name), other["config"].get(name))
            for name in sorted({*first["config"], *other["config"]} - free)
        }
        pairs["data"] = (first["dataset"]["digest"][:12], other["dataset"]["digest"][:12])
        apart = [f"{name} {one!r} and {two!r}" for name, (one, two) in pairs.items() if one != two]
        if apart:
            names = (f"{run['variant']!r} with seed {run['seed']}" for run in (first, other))
            return f"{' and '.join(names)} have {', '.join(apart)}"
    return ""
