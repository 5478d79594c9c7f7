"""Claims, evidence and verdicts.

`claims.yml` states what a paper claims and never what we found. A notebook opens a `Check`, hands it evidence, and
the verdict is *derived* from that evidence by `mmfusion.verdicts.derive`. Nothing takes a verdict as an argument.

Evidence is a plain mapping with a `type`, a boolean `ok` (did the check go through?) and its numbers:

=================  ==========================================================  ======================
type               what it shows                                               goes to
=================  ==========================================================  ======================
identity           symbolic residuals that vanish                              proved
proof              steps of a proof in the text, each checked                  proved
sharper            a smaller constant and the value that attains it            sharpened (with a proof)
assumption         a failure without, and a proof with, the named assumption   needs an assumption
counterexample     an instance that violates the claim                         refuted
correction         the corrected statement, each step of its proof checked     (completes the four above)
search             an adversarial search that found no violation               corroborated, never proved
slip               what is printed and what is meant                           slip, beside the intended verdict
recompute          a printed figure recomputed from other printed figures      consistent / inconsistent
comparison         a pre-stated statistic over paired seeds                    reproduced / contradicted / inconclusive
needs data         why only the original data can tell                         needs data
=================  ==========================================================  ======================
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, SupportsInt
from typing import SupportsFloat as Number

import yaml

from mmfusion import records
from mmfusion.verdicts import KINDS, TYPES, Claim, ClaimError, Verdict, check_type, derive, to_html

# The parser in C, where there is one: claims.yml is read by every page that gives evidence.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

__all__ = ["Check", "Claim", "ClaimError", "Ledger", "Verdict", "default_claims_file", "derive", "to_html"]

SCHEMA = "claims/1"


class Ledger:
    """The claims of `claims.yml`, validated, and the verdicts derived from the records of the notebooks."""

    def __init__(self, claims: Iterable[Claim]):
        self.claims: dict[str, Claim] = {}
        for claim in claims:
            if claim.id in self.claims:
                raise ClaimError(f"claim {claim.id} is stated twice")
            if claim.id.split() != [claim.id]:
                raise ClaimError(f"claim id {claim.id!r} holds spaces")
            if claim.kind not in KINDS:
                raise ClaimError(f"claim {claim.id} is of kind {claim.kind!r}, wanted one of {', '.join(KINDS)}")
            self.claims[claim.id] = claim
        for claim in self.claims.values():
            unknown = [name for name in claim.depends if name not in self.claims]
            if unknown:
                raise ClaimError(f"claim {claim.id} depends on unknown {', '.join(unknown)}")
        circle = self._circle()
        if circle:
            raise ClaimError(f"claims rest on one another in a circle: {' → '.join(circle)}")

    def _circle(self) -> list[str]:
        """One circle of dependencies, if there is any: drop claims that rest on nothing left until none can go."""
        left = {name: set(claim.depends) for name, claim in self.claims.items()}
        while free := [name for name, needs in left.items() if not needs & left.keys()]:
            for name in free:
                del left[name]
        path: list[str] = []
        name = next(iter(left), None)
        while name is not None and name not in path:
            path.append(name)
            name = sorted(left[name] & left.keys())[0]
        return [*path[path.index(name) :], name] if name is not None else []

    @classmethod
    def load(cls, path: str | Path | None = None, notebooks: str | Path | None = None) -> Ledger:
        """Read `claims.yml` (by default the one of this project).

        With `notebooks`, the folder that holds them, every claim that names a notebook must find it there.
        Raises `ClaimError` on an unknown, missing or empty field, a duplicate or unknown id, claims that rest on one
        another in a circle, or a missing notebook.
        """
        path = Path(path) if path is not None else default_claims_file()
        try:
            rows = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
        except (OSError, UnicodeDecodeError) as error:
            raise ClaimError(f"cannot read claims file {path}: {getattr(error, 'strerror', None) or error}") from error
        except yaml.YAMLError as error:
            raise ClaimError(f"claims file {path} is not YAML: {error}") from error
        if not isinstance(rows, list):
            raise ClaimError(f"claims file {path} holds {type(rows).__name__}, wanted a list of claims")
        ledger = cls(_claim(row, position, path) for position, row in enumerate(rows, 1))
        if notebooks is not None:
            for claim in ledger.claims.values():
                if claim.notebook and not (Path(notebooks) / f"{claim.notebook}.md").is_file():
                    raise ClaimError(f"claim {claim.id} names notebook {claim.notebook}, which is not in {notebooks}")
        return ledger

    def __getitem__(self, name: str) -> Claim:
        try:
            return self.claims[name]
        except KeyError:
            raise ClaimError(f"unknown claim {name!r}; claims.yml holds {len(self.claims)} claims") from None

    def evidence(self, folder: str | Path) -> dict[str, list[dict[str, Any]]]:
        """All evidence recorded below `folder`, by claim; each item says from which notebook it comes.

        Raises `records.RecordError` on a record that is truncated, foreign or lacks part of its evidence, and
        `ClaimError` on one about a claim that `claims.yml` does not hold.
        """
        found: dict[str, list[dict[str, Any]]] = {}
        for path in sorted(Path(folder).rglob("*.json")):
            record = records.read(path, SCHEMA, ("notebook", "evidence"))
            items = record["evidence"]
            for item in items if isinstance(items, list) else [items]:
                whole = isinstance(item, dict) and {"claim", "type", "ok"} <= item.keys() and item["type"] in TYPES
                if not whole:
                    raise records.RecordError(f"record {path} holds evidence that is not whole: {str(item)[:120]}")
                if item["claim"] not in self.claims:
                    raise ClaimError(f"record {path} is about the unknown claim {item['claim']!r}; delete the record")
                found.setdefault(item["claim"], []).append({**item, "notebook": record["notebook"]})
        return found

    def verdicts(self, folder: str | Path) -> dict[str, Verdict]:
        """The verdict of every claim, from the records below `folder`. No record: "not yet examined"."""
        found = self.evidence(folder)
        return {name: derive(claim, found.get(name, ())) for name, claim in self.claims.items()}

    def to_json(self, folder: str | Path, paper: str | None = None) -> list[dict[str, Any]]:
        """Id, kind, verdict, corrected statement, notebook and evidence of every claim, as plain data that any JSON
        reader takes: what is not finite becomes text."""
        rows = []
        for verdict in self.verdicts(folder).values():
            if paper is None or verdict.claim.paper == paper:
                rows.append({
                    **asdict(verdict.claim), "verdict": verdict.verdict, "intended_verdict": verdict.intended,
                    "corrected": verdict.corrected, "evidence": [_plain(item) for item in verdict.evidence],
                    "anchor": verdict.anchor,
                })  # fmt: skip
        return rows


def default_claims_file() -> Path:
    """`claims.yml` of this project: in the folder one works in or above it, else beside the package."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (folder / "claims.yml").is_file():
            return folder / "claims.yml"
    raise ClaimError(f"no claims.yml in {here}, above it or beside the package")


def _claim(row: Any, position: int, path: Path) -> Claim:
    if not isinstance(row, dict) or "id" not in row:
        raise ClaimError(f"entry {position} of {path} has no id")
    known = {item.name for item in fields(Claim)}
    wanted = ("kind", "where", "title", "statement", "decided_by")
    unknown, missing = sorted(map(str, row.keys() - known)), [name for name in wanted if name not in row]
    if unknown or missing:
        wrong = [f"unknown field {', '.join(unknown)}"] * bool(unknown) + [f"no {', '.join(missing)}"] * bool(missing)
        raise ClaimError(f"claim {row['id']} of {path}: {'; '.join(wrong)}")
    for name, value in row.items():
        if name != "depends" and not (isinstance(value, str) and value.strip()):
            raise ClaimError(f"claim {row['id']} of {path}: {name} is {value!r}, wanted text")
    depends = row.get("depends") or ()
    if not isinstance(depends, list | tuple) or not all(isinstance(need, str) for need in depends):
        raise ClaimError(f"claim {row['id']} of {path}: depends is {depends!r}, wanted a list of ids")
    return Claim(**{**row, "depends": tuple(depends)})


def _plain(value: Any) -> Any:
    """JSON knows neither infinity nor not-a-number."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class Check:
    """Collects the evidence that one notebook gives and writes it down.

    Every method takes the claim's id first, records one piece of evidence and returns whether it went through; the
    record is rewritten atomically each time. `records=None` writes nothing. A fresh `Check` starts an empty record.

    Parameters
    ----------
    notebook: folder and name, as in `claims.yml`, for example "lipschitz/attention".
    records: folder of claim records, or None.
    claims: path of `claims.yml`, or a `Ledger`; by default the project's.
    facts: anything worth keeping with the record (profile, number of starts, seed).
    """

    def __init__(self, notebook: str, records: str | Path | None = None, claims: Any = None, **facts: Any):
        self.notebook = notebook
        self.ledger = claims if isinstance(claims, Ledger) else Ledger.load(claims)
        self.facts = facts
        self.path = None if records is None else Path(records) / f"{notebook}.json"
        self.items: list[dict[str, Any]] = []
        self._write()

    def identity(self, claim: str, identities: Mapping[str, Any]) -> bool:
        """Symbolic identities: each value is a SymPy expression or matrix that must vanish, or a pair (left, right)."""
        if not identities:
            raise ClaimError(f"claim {claim}: no identity given")
        # SymPy takes a second to import, and only theory pages need it.
        from mmfusion.symbolic import residual

        residuals = {label: residual(value) for label, value in identities.items()}
        broken = {label: str(r)[:200] for label, r in residuals.items() if r != 0}
        return self._add(claim, "identity", not broken, identities=list(identities), broken=broken)

    def proof(self, claim: str, steps: Mapping[str, Any], statement: str | None = None) -> bool:
        """A proof written in the text whose checkable steps are `steps`: label → boolean. All must be true."""
        return self._steps(claim, "proof", steps, statement)

    def correction(self, claim: str, statement: str, steps: Mapping[str, Any]) -> bool:
        """The corrected statement, in words and LaTeX, and the checked steps of its proof."""
        return self._steps(claim, "correction", steps, statement)

    def counterexample(
        self,
        claim: str,
        description: str,
        *,
        claimed: Number,
        observed: Number,
        relation: str = "<=",
        margin: Number = 1e-6,
    ) -> bool:
        """An instance for which the claim says `observed relation claimed` and which breaks it by more than `margin`
        (relative to the larger of 1 and |claimed|). `relation` is "<=", ">=" or "=="."""
        broken = _breaks(observed, claimed, relation, margin)
        return self._add(
            claim, "counterexample", broken, description=description, claimed=float(claimed),
            observed=float(observed), relation=relation,
        )  # fmt: skip

    def assumption(
        self, claim: str, assumption: str, *, claimed: Number, observed: Number, steps: Mapping[str, Any],
        statement: str | None = None, relation: str = "<=", margin: Number = 1e-6,
    ) -> bool:  # fmt: skip
        """The claim fails without the named assumption (`claimed`, `observed` as in `counterexample`) and holds with
        it (`steps` as in `proof`)."""
        checked = _booleans(claim, steps)
        return self._add(
            claim, "assumption", all(checked.values()) and _breaks(observed, claimed, relation, margin),
            assumption=assumption, claimed=float(claimed), observed=float(observed), relation=relation,
            steps=list(checked), broken=[k for k, v in checked.items() if not v], statement=statement,
        )  # fmt: skip

    def sharper(
        self,
        claim: str,
        *,
        paper: Number,
        ours: Number,
        attained: Number,
        tolerance: Number = 1e-3,
        statement: str | None = None,
    ) -> bool:
        """A better constant: `ours` lies below `paper`, and `attained`, a value really reached, comes within
        `tolerance` (relative) of `ours` without passing it. The bound itself needs a `proof` or `correction`."""
        paper, ours, attained = float(paper), float(ours), float(attained)
        tight = ours * (1 - float(tolerance)) <= attained <= ours * (1 + 1e-9)
        return self._add(
            claim, "sharper", ours < paper and tight, paper=paper, ours=ours, attained=attained, statement=statement,
        )  # fmt: skip

    def search(self, claim: str, *, bound: Number, worst: Number, starts: SupportsInt, slack: Number = 1e-9) -> bool:
        """An adversarial search whose worst value stays below `bound`. It corroborates and never proves."""
        return self._add(
            claim,
            "search",
            float(worst) <= float(bound) * (1 + float(slack)),
            bound=float(bound),
            worst=float(worst),
            starts=int(starts),
        )

    def slip(self, claim: str, *, printed: str, intended: str) -> bool:
        """A slip of the pen. Other evidence for this claim is then about the intended statement."""
        return self._add(claim, "slip", bool(printed.strip() and intended.strip()), printed=printed, intended=intended)

    def recompute(self, claim: str, figures: Mapping[str, Any], statement: str | None = None) -> bool:
        """Arithmetic on the paper's own figures: label → boolean, or (printed, found, absolute tolerance)."""
        if not figures:
            raise ClaimError(f"claim {claim}: no figure given")
        rows: dict[str, dict[str, Any]] = {}
        for label, value in figures.items():
            if isinstance(value, tuple):
                printed, found, tolerance = map(float, value)
                if not all(map(math.isfinite, (printed, found, tolerance))):
                    raise ClaimError(f"claim {claim}: figure {label!r} is {value}, wanted finite numbers")
                # Printed decimals are not binary fractions: a hair on the tolerance, not a hole in it.
                agrees = abs(printed - found) <= tolerance * (1 + 1e-9)
                rows[label] = {"agrees": agrees, "printed": printed, "found": found, "tolerance": tolerance}
            else:
                rows[label] = {"agrees": _boolean(claim, label, value)}
        return self._add(claim, "recompute", True, figures=rows, statement=statement)

    def comparison(
        self, claim: str, question: str, *, effect: Number, low: Number, high: Number, n: SupportsInt, p: Number,
        data: str, claimed: str = "above", threshold: Number = 0.0, level: Number = 0.05,
        statement: str | None = None,
    ) -> bool:  # fmt: skip
        """A pre-stated statistic over n paired seeds: effect, 95 % interval, p (Holm-corrected within its table).
        The paper claims that the effect lies `claimed` ("above" or "below") `threshold`. Fewer than five seeds leave
        the claim inconclusive."""
        if claimed not in ("above", "below"):
            raise ClaimError(f"claim {claim}: claimed is {claimed!r}, wanted 'above' or 'below'")
        effect, low, high, p = map(float, (effect, low, high, p))
        return self._add(
            claim, "comparison", low <= effect <= high and 0 <= p <= 1, question=question, effect=effect, low=low,
            high=high, n=int(n), p=p, data=data, claimed=claimed, threshold=float(threshold), level=float(level),
            statement=statement,
        )  # fmt: skip

    def needs_data(self, claim: str, why: str) -> bool:
        """Only the original data, or records that the paper does not give, can decide."""
        return self._add(claim, "needs data", bool(why.strip()), why=why)

    def verdict(self, claim: str) -> Verdict:
        """The verdict that this notebook's evidence gives so far, as a box to show."""
        return derive(self.ledger[claim], [item for item in self.items if item["claim"] == claim])

    def verdicts(self) -> dict[str, Verdict]:
        """The verdicts of all claims for which this notebook has given evidence."""
        return {name: self.verdict(name) for name in dict.fromkeys(item["claim"] for item in self.items)}

    def _steps(self, claim: str, kind: str, steps: Mapping[str, Any], statement: str | None) -> bool:
        checked = _booleans(claim, steps)
        broken = [label for label, value in checked.items() if not value]
        return self._add(claim, kind, not broken, steps=list(checked), broken=broken, statement=statement)

    def _add(self, claim: str, kind: str, ok: bool, **details: Any) -> bool:
        check_type(self.ledger[claim], kind)
        details = {key: value for key, value in details.items() if value is not None}
        self.items.append({"claim": claim, "type": kind, "ok": bool(ok), **details})
        self._write()
        return bool(ok)

    def _write(self) -> None:
        if self.path is not None:
            record = {"schema": SCHEMA, "notebook": self.notebook, "facts": self.facts, "evidence": self.items}
            records.write(self.path, record)


def _booleans(claim: str, steps: Mapping[str, Any]) -> dict[str, bool]:
    if not steps:
        raise ClaimError(f"claim {claim}: no step given")
    return {label: _boolean(claim, label, value) for label, value in steps.items()}


def _boolean(claim: str, label: str, value: Any) -> bool:
    """Python, NumPy, torch and SymPy truth values. A number is none: a residual of 0.3 would pass for true."""
    plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    if isinstance(plain, bool):
        return plain
    if str(plain) in ("True", "False") and getattr(plain, "is_Boolean", False):
        return bool(plain)
    given = f"{str(value)[:60]} ({type(value).__name__})"
    raise ClaimError(f"claim {claim}: step {label!r} is {given}, wanted true or false")


def _breaks(observed: Number, claimed: Number, relation: str, margin: Number) -> bool:
    gap = float(observed) - float(claimed)
    room = float(margin) * max(1.0, abs(float(claimed)))
    if relation not in ("<=", ">=", "=="):
        raise ClaimError(f"relation is {relation!r}, wanted '<=', '>=' or '=='")
    return {"<=": gap > room, ">=": -gap > room, "==": abs(gap) > room}[relation]
