"""Claims, the rule that turns evidence into a verdict, and how a verdict is shown.

Verdicts come from `derive` and from nowhere else; nothing in the project takes a verdict as an argument.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["EVIDENCE", "KINDS", "VERDICTS", "Claim", "ClaimError", "Verdict", "check_type", "derive", "to_html"]

NOT_EXAMINED = "not yet examined"
FAILED = "check failed"
VERDICTS = (
    "proved", "sharpened", "needs an assumption", "refuted", "corroborated", "slip",
    "reproduced", "contradicted", "inconclusive", "needs data", "consistent", "inconsistent",
    FAILED, NOT_EXAMINED,
)  # fmt: skip
# Which evidence bears on which kind of claim: a measurement proves no theorem, and arithmetic is not a sample.
EVIDENCE = {
    "mathematical": (
        "identity", "proof", "sharper", "assumption", "counterexample", "correction", "search", "slip",
    ),
    "empirical": ("comparison", "needs data", "slip"),
    "arithmetic": ("recompute", "slip"),
}  # fmt: skip
KINDS = tuple(EVIDENCE)
TYPES = frozenset(kind for kinds in EVIDENCE.values() for kind in kinds)
FEWEST_SEEDS = 5
MANY_FIGURES = 6


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

    @property
    def ours(self) -> bool:
        """Whether the claim is no paper's but ours, which its place says: "(ours, not in the paper)"."""
        return re.search(r"\((ours|our)\b", self.where) is not None


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

    @property
    def slug(self) -> str:
        """The verdict as a CSS class: "needs an assumption" is `needs-an-assumption`."""
        return self.verdict.replace(" ", "-")

    @property
    def anchor(self) -> str:
        """The id of the verdict's box on its page."""
        return f"claim-{self.claim.id}"

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
        elif self.verdict == "refuted":
            rows.append('<p class="verdict-corrected">No corrected statement is proved here.</p>')
        rows += [f'<p class="verdict-evidence">{to_html(line)}</p>' for line in map(_sentence, self.evidence) if line]
        body = "".join(rows)
        return (
            f'<div class="verdict verdict-{self.slug} tex2jax_process mathjax_process" '
            f'id="{html.escape(self.anchor)}">{body}</div>'
        )


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


def derive(claim: Claim, evidence: Iterable[Mapping[str, Any]]) -> Verdict:
    """Derive the verdict of one claim from its evidence; the only place where verdicts come from.

    A piece of evidence that did not go through makes the verdict "check failed", whatever else there is; so do a
    proof and a counterexample of the same statement. A counterexample without a proved correction leaves the claim
    refuted, and the box says that nothing takes its place. A search alone never proves. A comparison of fewer than
    five seeds is inconclusive.

    Raises `ClaimError` where the evidence is of a type that does not bear on this kind of claim.
    """
    evidence = tuple(evidence)
    for item in evidence:
        check_type(claim, item["type"])
    rest = [item for item in evidence if item["type"] != "slip"]
    slips = len(rest) < len(evidence)
    verdict = FAILED if not all(item["ok"] for item in evidence) else _plain(rest)
    corrected = None
    if verdict != FAILED:
        corrected = next((item["statement"] for item in evidence if item.get("statement")), None)
    if slips and verdict != FAILED:
        return Verdict(claim, "slip", verdict, corrected, evidence)
    return Verdict(claim, verdict, None, corrected, evidence)


def check_type(claim: Claim, kind: str) -> None:
    """Raise `ClaimError` where evidence of this type does not bear on this kind of claim."""
    if kind not in EVIDENCE[claim.kind]:
        raise ClaimError(
            f"claim {claim.id} is {claim.kind}; evidence of type {kind!r} does not bear on it, "
            f"wanted one of: {', '.join(EVIDENCE[claim.kind])}"
        )


def _plain(evidence: list[Mapping[str, Any]]) -> str:
    """The verdict of evidence that all went through, slips left aside."""
    types = {item["type"] for item in evidence}
    proved = bool(types & {"identity", "proof"})
    if "counterexample" in types and proved:
        return FAILED
    if "recompute" in types:
        agree = all(row["agrees"] for item in evidence for row in item["figures"].values())
        return "consistent" if agree else "inconsistent"
    if "comparison" in types:
        return _together({_outcome(item) for item in evidence if item["type"] == "comparison"})
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
    if item["n"] < FEWEST_SEEDS or item["p"] >= item["level"]:
        return "inconclusive"
    return "reproduced" if low > 0 else "contradicted" if high < 0 else "inconclusive"


def _together(outcomes: set[str]) -> str:
    """A claim with several parts stands only if all do, and falls if one does."""
    if len(outcomes) == 1:
        return outcomes.pop()
    return "contradicted" if "contradicted" in outcomes else "inconclusive"


def _number(value: Any, digits: int = 4) -> str:
    """A few digits, typeset: a minus sign and no hyphen, ∞ and no abbreviation."""
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:.{digits}g}".replace("-", "−").replace("inf", "∞")


def _instance(item: Mapping[str, Any]) -> str:
    relation = {"<=": "at most", ">=": "at least", "==": "exactly"}[item["relation"]]
    return f"claimed {relation} {_number(item['claimed'])}, found {_number(item['observed'])}"


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
        line = f"Needs: {item['assumption']}. Without it: {_instance(item)}."
    elif kind == "counterexample":
        line = f"Counterexample: {item['description']}; {_instance(item)}."
    elif kind == "search":
        line = (
            f"Search over {item['starts']} starts: worst {_number(item['worst'])} against "
            f"{_number(item['bound'])}. A search corroborates; it does not prove."
        )
    elif kind == "slip":
        line = f"Printed: {item['printed']}. Meant: {item['intended']}."
    elif kind == "recompute":
        line = _figures(item["figures"])
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


def _figures(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """A few figures are named one by one; of many, only those that do not agree."""
    shown = figures
    words = "Recomputed: "
    if len(figures) > MANY_FIGURES:
        shown = {label: row for label, row in figures.items() if not row["agrees"]}
        words = f"Recomputed: {len(figures) - len(shown)} of {len(figures)} figures agree"
        words += "; these do not: " if shown else ""
    return words + "; ".join(_figure(label, row) for label, row in shown.items()) + "."


def _figure(label: str, row: Mapping[str, Any]) -> str:
    words = f"{label}: {'agrees' if row['agrees'] else 'does not agree'}"
    if "printed" in row:
        words += f" (printed {_number(row['printed'], 6)}, found {_number(row['found'], 6)})"
    return words
