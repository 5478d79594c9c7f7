"""Claims, evidence and verdicts.

`claims.yml` states what a paper claims and never what we found. A notebook opens a `Check`, hands it evidence, and
the verdict is *derived* from that evidence by `derive`. Nothing here takes a verdict as an argument.

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

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mmfusion import records

__all__ = ["Check", "Claim", "ClaimError", "Ledger", "Verdict", "derive", "default_claims_file"]

KINDS = ("mathematical", "empirical", "arithmetic")
NOT_EXAMINED = "not yet examined"
FAILED = "check failed"
VERDICTS = (
    "proved", "sharpened", "needs an assumption", "refuted", "corroborated", "slip",
    "reproduced", "contradicted", "inconclusive", "needs data", "consistent", "inconsistent",
    FAILED, NOT_EXAMINED,
)  # fmt: skip
SCHEMA = "claims/1"


class ClaimError(ValueError):
    """A claim or a piece of evidence that does not fit; the message names the claim."""


@dataclass(frozen=True)
class Claim:
    """One claim of a paper, in our words: what is stated, where, and what would decide it."""

    id: str
    kind: str
    where: str
    title: str
    statement: str
    decided_by: str
    notebook: str | None = None
    reported: str | None = None
    depends: tuple[str, ...] = ()

    @property
    def paper(self) -> str:
        """The paper's letter, which leads the id."""
        return self.id.split("-", 1)[0]


@dataclass(frozen=True)
class Verdict:
    """A derived verdict, ready to show: plain text in a terminal, a labelled box in a notebook or the book."""

    claim: Claim
    verdict: str
    intended: str | None = None
    corrected: str | None = None
    evidence: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        """The verdict as read by people: a slip says what becomes of the intended statement."""
        return f"slip; as intended: {self.intended}" if self.verdict == "slip" else self.verdict

    def __str__(self) -> str:
        return f"{self.claim.id}: {self.label}"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.to_html()}

    def to_html(self) -> str:
        """The verdict box. Mathematics stays in TeX delimiters, for the page's own typesetter."""
        rows = [
            f'<p class="verdict-head"><span class="verdict-label">{html.escape(self.label)}</span> '
            f'<span class="verdict-id">{html.escape(self.claim.id)} · {html.escape(self.claim.where)}</span></p>',
            f'<p class="verdict-claim">{to_html(self.claim.statement)}</p>',
        ]
        if self.corrected:
            rows.append(f'<p class="verdict-corrected"><strong>What holds.</strong> {to_html(self.corrected)}</p>')
        rows += [f'<p class="verdict-evidence">{to_html(line)}</p>' for line in map(_sentence, self.evidence) if line]
        slug = self.verdict.replace(" ", "-")
        anchor = html.escape(f"claim-{self.claim.id}")
        body = "".join(rows)
        return f'<div class="verdict verdict-{slug} tex2jax_process mathjax_process" id="{anchor}">{body}</div>'


def to_html(text: str) -> str:
    """Escape `text` for HTML; `$…$` becomes inline mathematics and backquotes become code."""
    parts = re.split(r"(\$[^$]+\$|`[^`]+`)", text)
    for i, part in enumerate(parts):
        if part.startswith("$") and len(part) > 1:
            parts[i] = rf"\({html.escape(part[1:-1])}\)"
        elif part.startswith("`") and len(part) > 1:
            parts[i] = f"<code>{html.escape(part[1:-1])}</code>"
        else:
            parts[i] = html.escape(part)
    return "".join(parts)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _sentence(item: Mapping[str, Any]) -> str:
    """One line of plain words per piece of evidence, for the verdict box."""
    kind, failed = item["type"], "" if item["ok"] else " This check did not go through."
    if kind == "identity":
        line = f"Identity checked symbolically: {'; '.join(item['identities'])}."
    elif kind == "proof":
        line = f"Proof in the text; steps checked: {'; '.join(item['steps'])}."
    elif kind == "sharper":
        line = (
            f"Printed constant {_number(item['paper'])}; ours {_number(item['ours'])}, "
            f"attained up to {_number(item['attained'])}."
        )
    elif kind == "assumption":
        line = (
            f"Needs: {item['assumption']}. Without it: claimed {item['relation']} {_number(item['claimed'])}, "
            f"found {_number(item['observed'])}."
        )
    elif kind == "counterexample":
        line = (
            f"Counterexample: {item['description']}; claimed {item['relation']} {_number(item['claimed'])}, "
            f"found {_number(item['observed'])}."
        )
    elif kind == "search":
        line = (
            f"Search over {item['starts']} starts: worst {_number(item['worst'])} against "
            f"{_number(item['bound'])}. A search corroborates; it does not prove."
        )
    elif kind == "slip":
        line = f"Printed: {item['printed']}. Meant: {item['intended']}."
    elif kind == "recompute":
        line = "Recomputed: " + "; ".join(
            f"{label} {'agrees' if row['agrees'] else 'disagrees'}"
            + (f" (printed {_number(row['printed'])}, found {_number(row['found'])})" if "printed" in row else "")
            for label, row in item["figures"].items()
        ) + "."  # fmt: skip
    elif kind == "comparison":
        line = (
            f"{item['question']}: effect {_number(item['effect'])} (95 % interval {_number(item['low'])} to "
            f"{_number(item['high'])}, n = {item['n']}, p = {_number(item['p'])}), on {item['data']}."
        )
    elif kind == "needs data":
        line = f"Needs data: {item['why']}."
    else:
        line = ""
    return line + failed


class Ledger:
    """The claims of `claims.yml`, validated, and the verdicts derived from the records of the notebooks."""

    def __init__(self, claims: Iterable[Claim]):
        self.claims: dict[str, Claim] = {}
        for claim in claims:
            if claim.id in self.claims:
                raise ClaimError(f"claim {claim.id} is stated twice")
            if claim.kind not in KINDS:
                raise ClaimError(f"claim {claim.id} is of kind {claim.kind!r}, wanted one of {', '.join(KINDS)}")
            self.claims[claim.id] = claim
        for claim in self.claims.values():
            unknown = [name for name in claim.depends if name not in self.claims]
            if unknown:
                raise ClaimError(f"claim {claim.id} depends on unknown {', '.join(unknown)}")

    @classmethod
    def load(cls, path: str | Path | None = None, notebooks: str | Path | None = None) -> Ledger:
        """Read `claims.yml` (by default the one of this project).

        With `notebooks`, the folder that holds them, every claim that names a notebook must find it there.
        Raises `ClaimError` on an unknown or missing field, a duplicate or unknown id, or a missing notebook.
        """
        path = Path(path) if path is not None else default_claims_file()
        try:
            rows = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ClaimError(f"cannot read claims file {path}: {error.strerror or error}") from error
        except yaml.YAMLError as error:
            raise ClaimError(f"claims file {path} is not YAML: {error}") from error
        if not isinstance(rows, list):
            raise ClaimError(f"claims file {path} holds {type(rows).__name__}, wanted a list of claims")
        claims = []
        for position, row in enumerate(rows, 1):
            if not isinstance(row, dict) or "id" not in row:
                raise ClaimError(f"entry {position} of {path} has no id")
            try:
                claims.append(Claim(**{**row, "depends": tuple(row.get("depends") or ())}))
            except TypeError as error:
                detail = str(error).replace("Claim.__init__() ", "")
                raise ClaimError(f"claim {row['id']} of {path}: {detail}") from error
        ledger = cls(claims)
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
        """All evidence recorded below `folder`, by claim; each item says from which notebook it comes."""
        found: dict[str, list[dict[str, Any]]] = {}
        for path in sorted(Path(folder).rglob("*.json")):
            record = records.read(path, SCHEMA, ("notebook", "evidence"))
            for item in record["evidence"]:
                self[item["claim"]]
                found.setdefault(item["claim"], []).append({**item, "notebook": record["notebook"]})
        return found

    def verdicts(self, folder: str | Path) -> dict[str, Verdict]:
        """The verdict of every claim, from the records below `folder`. No record: "not yet examined"."""
        found = self.evidence(folder)
        return {name: derive(claim, found.get(name, ())) for name, claim in self.claims.items()}

    def to_json(self, folder: str | Path, paper: str | None = None) -> list[dict[str, Any]]:
        """Id, kind, verdict, corrected statement, notebook and evidence of every claim, as plain data."""
        rows = []
        for name, verdict in self.verdicts(folder).items():
            if paper is None or verdict.claim.paper == paper:
                rows.append({
                    **asdict(verdict.claim), "verdict": verdict.verdict, "intended_verdict": verdict.intended,
                    "corrected": verdict.corrected, "evidence": [dict(item) for item in verdict.evidence],
                    "anchor": f"claim-{name}",
                })  # fmt: skip
        return rows


def default_claims_file() -> Path:
    """`claims.yml` of this project: in the folder one works in or above it, else beside the package."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (folder / "claims.yml").is_file():
            return folder / "claims.yml"
    raise ClaimError(f"no claims.yml in {here}, above it or beside the package")


def derive(claim: Claim, evidence: Iterable[Mapping[str, Any]]) -> Verdict:
    """Derive the verdict of one claim from its evidence; the only place where verdicts come from.

    A piece of evidence that did not go through makes the verdict "check failed", whatever else there is; so do a
    proof and a counterexample of the same statement. A counterexample without a proved correction leaves the claim
    refuted but the verdict says so. A search alone never proves.
    """
    evidence = tuple(evidence)
    of = {item["type"]: item for item in evidence}
    corrected = next((item["statement"] for item in evidence if item.get("statement")), None)
    rest = [item for item in evidence if item["type"] != "slip"]
    verdict = _derive_plain(rest, of)
    intended = None
    if "slip" in of and verdict != FAILED:
        verdict, intended = "slip", verdict if rest else NOT_EXAMINED
    return Verdict(claim, verdict, intended, corrected, evidence)


def _derive_plain(evidence: list[Mapping[str, Any]], of: Mapping[str, Mapping[str, Any]]) -> str:
    types = {item["type"] for item in evidence}
    proved = bool(types & {"identity", "proof"})
    if not evidence:
        return NOT_EXAMINED
    if not all(item["ok"] for item in evidence) or ("counterexample" in types and proved):
        return FAILED
    if "recompute" in types:
        agree = all(
            row["agrees"] for item in evidence if item["type"] == "recompute" for row in item["figures"].values()
        )
        return "consistent" if agree else "inconsistent"
    if "comparison" in types:
        outcomes = {_outcome(item) for item in evidence if item["type"] == "comparison"}
        return outcomes.pop() if len(outcomes) == 1 else _mixed(outcomes)
    if "needs data" in types:
        return "needs data"
    if "assumption" in types:
        return "needs an assumption"
    if "counterexample" in types:
        return "refuted"
    if "sharper" in types and (proved or "correction" in types):
        return "sharpened"
    if proved:
        return "proved"
    return "corroborated" if "search" in types else NOT_EXAMINED


def _outcome(item: Mapping[str, Any]) -> str:
    """Reproduced where the interval lies on the claimed side of the threshold and p is small; contradicted where it
    lies on the other side; else inconclusive."""
    sign = 1 if item["claimed"] == "above" else -1
    low, high = sorted((sign * (item["low"] - item["threshold"]), sign * (item["high"] - item["threshold"])))
    if item["p"] >= item["level"]:
        return "inconclusive"
    return "reproduced" if low > 0 else "contradicted" if high < 0 else "inconclusive"


def _mixed(outcomes: set[str]) -> str:
    """A claim with several parts stands only if all do, and falls if one does."""
    return "contradicted" if "contradicted" in outcomes else "inconclusive"


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
        residuals = {label: _residual(value) for label, value in identities.items()}
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
        claimed: float,
        observed: float,
        relation: str = "<=",
        margin: float = 1e-6,
    ) -> bool:
        """An instance for which the claim says `observed relation claimed` and which breaks it by more than `margin`
        (relative to the larger of 1 and |claimed|). `relation` is "<=", ">=" or "=="."""
        broken = _breaks(observed, claimed, relation, margin)
        return self._add(
            claim, "counterexample", broken, description=description, claimed=float(claimed),
            observed=float(observed), relation=relation,
        )  # fmt: skip

    def assumption(
        self, claim: str, assumption: str, *, claimed: float, observed: float, steps: Mapping[str, Any],
        statement: str | None = None, relation: str = "<=", margin: float = 1e-6,
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
        paper: float,
        ours: float,
        attained: float,
        tolerance: float = 1e-3,
        statement: str | None = None,
    ) -> bool:
        """A better constant: `ours` lies below `paper`, and `attained`, a value really reached, comes within
        `tolerance` (relative) of `ours` without passing it. The bound itself needs a `proof` or `correction`."""
        tight = ours * (1 - tolerance) <= attained <= ours * (1 + 1e-9)
        return self._add(
            claim, "sharper", bool(ours < paper and tight), paper=float(paper), ours=float(ours),
            attained=float(attained), statement=statement,
        )  # fmt: skip

    def search(self, claim: str, *, bound: float, worst: float, starts: int, slack: float = 1e-9) -> bool:
        """An adversarial search whose worst value stays below `bound`. It corroborates and never proves."""
        return self._add(
            claim,
            "search",
            bool(worst <= bound * (1 + slack)),
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
                # Printed decimals are not binary fractions: a hair on the tolerance, not a hole in it.
                agrees = abs(printed - found) <= tolerance * (1 + 1e-9)
                rows[label] = {"agrees": agrees, "printed": printed, "found": found, "tolerance": tolerance}
            else:
                rows[label] = {"agrees": bool(value)}
        return self._add(claim, "recompute", True, figures=rows, statement=statement)

    def comparison(
        self, claim: str, question: str, *, effect: float, low: float, high: float, n: int, p: float, data: str,
        claimed: str = "above", threshold: float = 0.0, level: float = 0.05, statement: str | None = None,
    ) -> bool:  # fmt: skip
        """A pre-stated statistic over n ≥ 5 paired seeds: effect, 95 % interval, p (Holm-corrected within its table).
        The paper claims that the effect lies `claimed` ("above" or "below") `threshold`."""
        if claimed not in ("above", "below"):
            raise ClaimError(f"claim {claim}: claimed is {claimed!r}, wanted 'above' or 'below'")
        return self._add(
            claim, "comparison", bool(n >= 5 and low <= effect <= high), question=question, effect=float(effect),
            low=float(low), high=float(high), n=int(n), p=float(p), data=data, claimed=claimed,
            threshold=float(threshold), level=level, statement=statement,
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
        self.ledger[claim]
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
    return {label: bool(value) for label, value in steps.items()}


def _breaks(observed: float, claimed: float, relation: str, margin: float) -> bool:
    gap = float(observed) - float(claimed)
    room = margin * max(1.0, abs(float(claimed)))
    if relation not in ("<=", ">=", "=="):
        raise ClaimError(f"relation is {relation!r}, wanted '<=', '>=' or '=='")
    return {"<=": gap > room, ">=": -gap > room, "==": abs(gap) > room}[relation]


def _residual(value: Any) -> Any:
    """Simplify a residual to 0 where it vanishes; matrices by entry."""
    import sympy

    if isinstance(value, tuple):
        left, right = value
        value = left - right
    if isinstance(value, sympy.MatrixBase):
        entries = [sympy.simplify(entry) for entry in value]
        return 0 if all(entry == 0 for entry in entries) else sympy.Matrix(value.shape[0], value.shape[1], entries)
    return sympy.simplify(sympy.sympify(value))
