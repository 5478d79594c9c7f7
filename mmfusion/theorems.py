"""The statements that hold: every corrected claim and every theorem of our own, numbered, as data and as HTML.

A claim becomes a theorem if and only if it is mathematical, its derived verdict stands on a proof (`PROVED`), and there is
a statement to print: the corrected one that the evidence carries, the claim with the assumption that its evidence names,
or, for a claim of ours, the claim itself. A refuted claim for which nothing is proved instead is none; nor is a claim that
is true as printed, whose theorem is the paper's.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mmfusion.claims import ClaimError
from mmfusion.graph import MARKS
from mmfusion.ledger import MATHS, evidence_link, evidence_page
from mmfusion.verdicts import Verdict, to_html

__all__ = ["PROVED", "Theorem", "cite", "collect", "contents", "section", "statement"]

PROVED = ("proved", "sharpened", "needs an assumption", "refuted")
OPENING = re.compile(r"^(Ours|Our refinement): ")


@dataclass(frozen=True)
class Theorem:
    """A statement that holds, with its number (``B.7``), the heading under which it stands and its verdict's evidence."""

    number: str
    topic: str
    statement: str
    verdict: Verdict

    @property
    def name(self) -> str:
        """As one cites it: ``Theorem B.7``."""
        return f"Theorem {self.number}"

    @property
    def anchor(self) -> str:
        """Its place on the page. Named after the claim, since numbers move when theorems are added."""
        return f"theorem-{self.verdict.claim.id}"

    @property
    def status(self) -> str:
        """What became of the claim, and that something is proved in its place."""
        if self.verdict.claim.ours:
            return "ours, proved"
        label = self.verdict.label
        return f"{label}, and corrected" if label.endswith("refuted") else label


def statement(verdict: Verdict) -> str | None:
    """What holds, in words and TeX, or None where the verdict gives no theorem of its own."""
    outcome = verdict.intended or verdict.verdict
    if verdict.claim.kind != "mathematical" or outcome not in PROVED:
        return None
    if verdict.corrected:
        return verdict.corrected
    if outcome == "needs an assumption":
        needed = [item["assumption"] for item in verdict.evidence if item["type"] == "assumption"]
        return f"{verdict.claim.statement} This holds under an assumption: {'; '.join(needed)}."
    if verdict.claim.ours and outcome == "proved":
        text = OPENING.sub("", verdict.claim.statement)
        return text[:1].upper() + text[1:]
    return None


def collect(verdicts: Mapping[str, Verdict], topics: Mapping[str, str]) -> list[Theorem]:
    """All theorems, numbered within each paper: by topic, within a topic in the order of the claims.

    Parameters
    ----------
    verdicts: claim's id → verdict.
    topics: page with the evidence → heading, in the order of the book.

    Raises `ClaimError` for evidence from a page that has no heading.
    """
    found = [(verdict, text) for verdict in verdicts.values() if (text := statement(verdict))]
    unknown = sorted({evidence_page(verdict) for verdict, _ in found} - topics.keys())
    if unknown:
        raise ClaimError(f"no heading for the page {', '.join(unknown)}, wanted one of: {', '.join(topics)}")
    order = list(topics)
    found.sort(key=lambda item: (item[0].claim.paper, order.index(evidence_page(item[0]))))
    theorems: list[Theorem] = []
    for verdict, text in found:
        paper = verdict.claim.paper
        number = 1 + sum(theorem.verdict.claim.paper == paper for theorem in theorems)
        theorems.append(Theorem(f"{paper}.{number}", topics[evidence_page(verdict)], text, verdict))
    return theorems


def cite(theorem: Theorem, title: str, version: str, page: str = "book/theorems") -> str:
    """How to cite a theorem: number, claim, book, version, place."""
    return (
        f"{theorem.name} (claim {theorem.verdict.claim.id}), in: {title}, version {version}, "
        f"{page}.html#{theorem.anchor}"
    )


def contents(theorems: Iterable[Theorem], paper: str) -> str:
    """One paper's table of contents: a list of links for each topic. Titles of the paper's claims stand in quotes."""
    rows = []
    for topic, group in _by_topic(theorems, paper).items():
        items = "".join(
            f'<li><a href="#{html.escape(theorem.anchor)}"><b>{theorem.number}</b> {_title(theorem)}</a> '
            f'<span class="verdict-{theorem.verdict.slug} theorem-mark" title="{html.escape(theorem.status)}">'
            f"{MARKS[theorem.verdict.verdict]}</span></li>"
            for theorem in group
        )
        rows.append(f"<li><span>{html.escape(topic)}</span><ul>{items}</ul></li>")
    return f'<nav class="theorem-contents" aria-label="Theorems on paper {html.escape(paper)}"><ul>{"".join(rows)}</ul></nav>'


def section(theorems: Iterable[Theorem], paper: str, root: str = "../notebooks") -> str:
    """One paper's theorems: number and status, what was claimed, what holds, what it rests on, link to the proof."""
    theorems = list(theorems)
    numbered = {theorem.verdict.claim.id: theorem for theorem in theorems}
    parts = []
    for topic, group in _by_topic(theorems, paper).items():
        parts.append(f'<h3 class="theorem-topic">{html.escape(topic)}</h3>')
        parts += [_box(theorem, numbered, root) for theorem in group]
    return f'<div class="theorems {MATHS}">{"".join(parts)}</div>'


def _by_topic(theorems: Iterable[Theorem], paper: str) -> dict[str, list[Theorem]]:
    found: dict[str, list[Theorem]] = {}
    for theorem in theorems:
        if theorem.verdict.claim.paper == paper:
            found.setdefault(theorem.topic, []).append(theorem)
    if not found:
        raise ClaimError(f"no theorem on paper {paper}")
    return found


def _title(theorem: Theorem) -> str:
    title = html.escape(theorem.verdict.claim.title)
    return title if theorem.verdict.claim.ours else f"“{title}”"


def _box(theorem: Theorem, numbered: Mapping[str, Theorem], root: str) -> str:
    verdict, claim = theorem.verdict, theorem.verdict.claim
    said = "" if claim.ours else (
        f'<p class="theorem-said"><b>The paper</b> ({html.escape(claim.where)}): {to_html(claim.statement)}</p>'
    )  # fmt: skip
    rests = ", ".join(_needed(need, numbered) for need in claim.depends)
    rests = f"Rests on {rests}. " if rests else ""
    link = html.escape(evidence_link(verdict, root))
    return (
        f'<section class="theorem-box verdict-{verdict.slug}" id="{html.escape(theorem.anchor)}" '
        f'aria-label="{theorem.name}"><p class="theorem-head"><a class="theorem-number" '
        f'href="#{html.escape(theorem.anchor)}">{theorem.name}</a> <span class="theorem-title">{_title(theorem)}</span> '
        f'<span class="verdict-label">{html.escape(theorem.status)}</span></p>{said}'
        f'<p class="theorem-holds"><b>What holds.</b> {to_html(theorem.statement)}</p>'
        f'<p class="theorem-foot">{rests}<a href="{link}">Proof and evidence</a> '
        f'<span class="verdict-id">claim {html.escape(claim.id)}</span></p></section>'
    )


def _needed(need: str, numbered: Mapping[str, Theorem]) -> str:
    """A theorem by its number; what the papers state and needs no correction by its row of the ledger."""
    name = html.escape(need)
    if need in numbered:
        return f'<a href="#{html.escape(numbered[need].anchor)}">{numbered[need].number}</a>'
    return f'<a href="ledger.html#row-{name}">{name}</a>'
