"""Can the evidence fail? Every claim's evidence is run again with something in it changed for the worse.

`tests/mutations/<folder>/<name>.yml` holds, for the notebook of that name, entries `{claim, find, replace}`: text that
occurs once in the notebook's code, and what takes its place. The notebook runs once, in this process; where a mutation
sits, its names are set aside. From there the mutated cell and those after it run, up to the last one that gave evidence
for the claim, and the claim's verdict must come out different, or the cell that gives evidence must refuse.

Set aside are names, plain containers, random states and the functions of the notebook, which then see the mutated
names. Methods of classes and functions kept inside other objects go on seeing the names of the unmutated run.
"""

from __future__ import annotations

import contextlib
import copy
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jupytext
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import yaml

from mmfusion import claims, plotting

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
MUTATIONS = ROOT / "tests" / "mutations"
FILES = sorted(MUTATIONS.rglob("*.yml"))
SMALL = {"starts": 16, "seed": 0, "records": None, "profile": "smoke"}
REFUSALS = (AssertionError, claims.ClaimError)


class HarnessError(Exception):
    """A mutation that cannot be tried: its text is not there once, or its claim has no evidence."""


@dataclass
class Snapshot:
    """The names of a notebook before one of its cells ran."""

    names: dict[str, Any]
    random: tuple[Any, Any]


@dataclass
class Run:
    """One unmutated run: the code cells, which claims each gave evidence for, and the names where mutations sit."""

    name: str
    cells: list[str]
    given: list[set[str]] = field(default_factory=list)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    verdicts: dict[str, claims.Verdict] = field(default_factory=dict)


def code_cells(text: str) -> list[str]:
    """The code cells of a MyST notebook; after the one tagged `parameters`, the small values."""
    cells = []
    for cell in jupytext.reads(text, fmt="md:myst").cells:
        if cell.cell_type == "code":
            cells.append(cell.source)
            if "parameters" in cell.metadata.get("tags", ()):
                cells.append("\n".join(f"if {key!r} in globals(): {key} = {value!r}" for key, value in SMALL.items()))
    return cells


@contextlib.contextmanager
def bench() -> Iterator[None]:
    """No kernel, no pictures; and what a notebook sets for its whole process is put back afterwards."""
    glue = types.ModuleType("myst_nb")
    glue.glue = lambda *_, **__: None
    with pytest.MonkeyPatch.context() as patch, matplotlib.rc_context(), torch.random.fork_rng(devices=[]):
        patch.setitem(sys.modules, "myst_nb", glue)
        patch.setattr(plotting, "publish", lambda *_, **__: None)
        patch.setattr(plotting, "table", lambda *_, **__: None)
        dtype, state = torch.get_default_dtype(), np.random.get_state()
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            np.random.set_state(state)
            plt.close("all")


def fork(names: dict[str, Any]) -> dict[str, Any]:
    """A copy of a notebook's names in which a mutated run can do as it likes."""
    new: dict[str, Any] = {}
    for key, value in names.items():
        if isinstance(value, claims.Check):
            value = copy.copy(value)
            value.items = list(value.items)
        elif isinstance(value, types.FunctionType) and value.__globals__ is names:
            value = _rebind(value, new)
        elif isinstance(value, torch.Generator):
            value = value.clone_state()
        elif isinstance(value, np.random.Generator):
            value = copy.deepcopy(value)
        elif isinstance(value, list | dict | set) and key != "__builtins__":
            value = copy.copy(value)
        new[key] = value
    return new


def _rebind(function: types.FunctionType, names: dict[str, Any]) -> types.FunctionType:
    new = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )  # fmt: skip
    new.__kwdefaults__ = function.__kwdefaults__
    new.__dict__.update(function.__dict__)
    return new


def execute(source: str, names: dict[str, Any], label: str) -> None:
    """Run one cell; figures are closed, since nobody looks."""
    exec(compile(source, label, "exec"), names)
    plt.close("all")


def the_check(names: dict[str, Any], name: str) -> claims.Check:
    """The one `Check` that a notebook opens."""
    found = [value for value in names.values() if isinstance(value, claims.Check)]
    if len({id(value) for value in found}) > 1:
        raise HarnessError(f"{name}: more than one Check")
    return found[0] if found else None


def run(name: str, text: str, mutations: list[dict[str, str]]) -> Run:
    """Run a notebook as it is, keeping what the mutations need."""
    result = Run(name, code_cells(text))
    where = {position_of(result, mutation) for mutation in mutations}
    names: dict[str, Any] = {"__name__": "__main__"}
    for position, source in enumerate(result.cells):
        if position in where:
            result.snapshots[position] = Snapshot(fork(names), (torch.get_rng_state(), np.random.get_state()))
        check = the_check(names, name)
        before = len(check.items) if check else 0
        execute(source, names, f"{name}, cell {position}")
        check = the_check(names, name)
        result.given.append({item["claim"] for item in check.items[before:]} if check else set())
    check = the_check(names, name)
    result.verdicts = check.verdicts() if check else {}
    return result


def position_of(result: Run, mutation: dict[str, str]) -> int:
    """The cell in which a mutation's text occurs, exactly once in the whole notebook."""
    if set(mutation) != {"claim", "find", "replace"}:
        raise HarnessError(f"{result.name}: {mutation} must have claim, find and replace")
    counts = [source.count(mutation["find"]) for source in result.cells]
    if sum(counts) != 1:
        raise HarnessError(f"{result.name}: {mutation['find']!r} occurs {sum(counts)} times, wanted once")
    return counts.index(1)


def survives(result: Run, mutation: dict[str, str]) -> str | None:
    """Why a mutation was not caught, or None where it was."""
    claim, start = mutation["claim"], position_of(result, mutation)
    evidence = [position for position, given in enumerate(result.given) if claim in given]
    if not evidence or evidence[-1] < start:
        return f"{claim}: no evidence at or after the mutated cell"
    before = result.verdicts[claim]
    if before.verdict in ("check failed", "not yet examined"):
        return f"{claim}: unmutated, it is {before.verdict!r}"
    snapshot = result.snapshots[start]
    names = fork(snapshot.names)
    torch.set_rng_state(snapshot.random[0])
    np.random.set_state(snapshot.random[1])
    for position in range(start, evidence[-1] + 1):
        source = result.cells[position]
        if position == start:
            source = source.replace(mutation["find"], mutation["replace"])
        try:
            execute(source, names, f"{result.name}, cell {position}, mutated")
        except REFUSALS as refusal:
            if position == start or result.given[position]:
                return None
            return f"{claim}: {mutation['replace']!r} stops a cell without evidence: {refusal}"
        except Exception as error:
            return f"{claim}: {mutation['replace']!r} breaks the code: {type(error).__name__}: {error}"
        after = the_check(names, result.name).verdict(claim)
        if after.verdict == "check failed":
            # No later evidence can mend this.
            return None
    if (after.verdict, after.intended) != (before.verdict, before.intended):
        return None
    return f"{claim}: still {before.label!r} with {mutation['replace']!r} for {mutation['find']!r}"


def survivors(name: str, text: str, mutations: list[dict[str, str]]) -> list[str]:
    """All mutations of one notebook that its evidence does not notice."""
    with bench():
        result = run(name, text, mutations)
        return [why for mutation in mutations if (why := survives(result, mutation))]


def load(path: Path) -> list[dict[str, str]]:
    """The mutations in one file."""
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(rows, list), f"{path} holds no list of mutations"
    return rows


# Tracing every line of SymPy for coverage costs half as much again; the modules have tests, and coverage, of their own.
@pytest.mark.no_cover
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(MUTATIONS).with_suffix("").as_posix())
def test_evidence_can_fail(path: Path) -> None:
    """Every mutation of this notebook turns the verdict of its claim."""
    name = path.relative_to(MUTATIONS).with_suffix("").as_posix()
    found = survivors(name, (NOTEBOOKS / f"{name}.md").read_text(encoding="utf-8"), load(path))
    assert not found, "\n".join(found)


def test_every_decidable_claim_has_a_mutation() -> None:
    """A mathematical or arithmetic claim whose evidence nobody tried to break is not evidence."""
    ledger = claims.Ledger.load(ROOT / "claims.yml")
    mutated = {row["claim"] for path in FILES for row in load(path)}
    assert mutated <= ledger.claims.keys()
    wanted = {
        claim.id for claim in ledger.claims.values() if claim.notebook and claim.kind in ("mathematical", "arithmetic")
    }
    assert not wanted - mutated, f"no mutation for {sorted(wanted - mutated)}"


PAGE = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A page

```{code-cell} ipython3
:tags: [parameters]
starts = 256
records = None
```

```{code-cell} ipython3
import torch
from myst_nb import glue

from mmfusion import claims, plotting

torch.set_default_dtype(torch.float64)
check = claims.Check("toy", records=records, claims=claims.Ledger([
    claims.Claim("T-1", "mathematical", "§ 1", "t", "squares", "d"),
    claims.Claim("T-2", "arithmetic", "§ 2", "t", "sums", "d"),
]))
factor = 2

def doubled(x):
    return factor * x
```

```{code-cell} ipython3
generator = torch.Generator().manual_seed(0)
x = torch.rand(starts, generator=generator)
seen = [len(x)]
```

```{code-cell} ipython3
glue("toy_starts", starts, display=False)
check.proof("T-1", {"twice is a sum": bool((doubled(x) == x + x).all()), "small": len(x) == 16})
```

```{code-cell} ipython3
seen.append(1)
check.recompute("T-2", {"a third": (0.333, 1 / 3, 0.0005)})
```
"""


def test_harness_catches_a_mutation() -> None:
    """Changes that matter are noticed, also through a function that an earlier cell defined."""
    mutations = [
        {"claim": "T-1", "find": "x + x", "replace": "x + x + 1"},
        {"claim": "T-1", "find": "seen = [len(x)]", "replace": "factor = 3"},
        {"claim": "T-2", "find": "1 / 3", "replace": "1 / 2"},
        {"claim": "T-2", "find": "seen.append(1)", "replace": "assert len(seen) == 2"},
    ]
    assert survivors("toy", PAGE, mutations) == []


@pytest.mark.parametrize(
    ("mutation", "words"),
    [
        ({"claim": "T-1", "find": "x + x", "replace": "x+x"}, "still 'proved'"),
        ({"claim": "T-2", "find": "1 / 3", "replace": "0.3335"}, "still 'consistent'"),
        ({"claim": "T-2", "find": "1 / 3", "replace": "1 / 0"}, "breaks the code: ZeroDivisionError"),
        ({"claim": "T-1", "find": "a third", "replace": "a quarter"}, "no evidence at or after"),
        ({"claim": "T-9", "find": "a third", "replace": "a quarter"}, "no evidence at or after"),
    ],
)
def test_harness_reports_survivors(mutation: dict[str, str], words: str) -> None:
    """A change that does nothing, breaks the code or comes after the evidence has not been caught."""
    (found,) = survivors("toy", PAGE, [mutation])
    assert words in found


@pytest.mark.parametrize("find", ["nowhere", "import"])
def test_harness_wants_the_text_once(find: str) -> None:
    """Text that is missing, or there twice, names no place."""
    with pytest.raises(HarnessError, match="wanted once"):
        survivors("toy", PAGE, [{"claim": "T-1", "find": find, "replace": ""}])


def test_harness_wants_evidence_that_goes_through() -> None:
    """Evidence that fails before anything is changed shows nothing when it fails afterwards."""
    page = PAGE.replace("len(x) == 16", "len(x) == 17")
    (found,) = survivors("toy", page, [{"claim": "T-1", "find": "x + x", "replace": "x"}])
    assert "check failed" in found


def test_harness_leaves_no_trace() -> None:
    """What the notebook sets for its process does not reach other tests, and mutated runs do not meet."""
    dtype = torch.get_default_dtype()
    mutations = [{"claim": "T-2", "find": "seen.append(1)", "replace": "seen.append(1); assert len(seen) == 2"}] * 3
    assert len(survivors("toy", PAGE, mutations)) == 3
    assert torch.get_default_dtype() == dtype
