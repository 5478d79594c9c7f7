"""The statements that hold: every corrected claim and every theorem of our own, numbered, as data and as HTML.

A claim becomes a theorem if and only if it is mathematical, its derived verdict stands on a proof (`PROVED`), and there
is a statement to print: the corrected one that the evidence carries, the claim with the assumption that its evidence
names, or, for a claim of ours, the claim itself. A refuted claim for which nothing is proved instead is none; nor is a
claim that is true as printed, whose theorem is the paper's. Claims of one page that one statement corrects share its
number.
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

__all__ = ["PROVED", "Theorem", "cite", "collect", "contents", "section", "slips", "statement"]

PROVED = ("proved", "sharpened", "needs an assumption", "refuted")
OPENING = re.compile(r"^(Ours|Our refinement): ")


@dataclass(frozen=True)
class Theorem:
    """A statement that holds: its number (``B.7``), the heading under which it stands, the verdicts it comes from."""

    number: str
    topic: str
    statement: str
    verdicts: tuple[Verdict, ...]

    @property
    def verdict(self) -> Verdict:
        """The first of its verdicts, which names it."""
        return self.verdicts[0]

    @property
    def name(self) -> str:
        """As one cites it: ``Theorem B.7``."""
        return f"Theorem {self.number}"

    @property
    def anchor(self) -> str:
        """Its place on the page. Named after the claim, since numbers move when theorems are added."""
        return f"theorem-{self.verdict.claim.id}"


def status(verdict: Verdict) -> str:
    """What became of the claim, and that something is proved in its place."""
    if verdict.claim.ours:
        return "ours, proved"
    return f"{verdict.label}, and corrected" if verdict.label.endswith("refuted") else verdict.label


def statement(verdict: Verdict) -> str | None:
    """What holds, in words and TeX, or None where the verdict gives no theorem of its own."""
    outcome = verdict.intended or verdict.verdict
    if verdict.claim.kind != "mathematical" or outcome not in PROVED:
        return None
    if verdict.corrected:
        return _stopped(verdict.corrected)
    if outcome == "needs an assumption":
        needed = [item["assumption"] for item in verdict.evidence if item["type"] == "assumption"]
        return f"{_stopped(verdict.claim.statement)} This holds under an assumption: {_stopped('; '.join(needed))}"
    if verdict.claim.ours and outcome == "proved":
        text = OPENING.sub("", verdict.claim.statement)
        return _stopped(text[:1].upper() + text[1:])
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
    unknown: dict[str, list[str]] = {}
    for verdict, _ in found:
        if evidence_page(verdict) not in topics:
            unknown.setdefault(evidence_page(verdict), []).append(verdict.claim.id)
    if unknown:
        lost = "; ".join(f"{page}, which corrects {', '.join(names)}" for page, names in unknown.items())
        raise ClaimError(f"no heading for the page {lost}: is it in the table of contents?")
    order = list(topics)
    found.sort(key=lambda item: (item[0].claim.paper, order.index(evidence_page(item[0]))))
    together: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict, text in found:
        together.setdefault((verdict.claim.paper, evidence_page(verdict), text), []).append(verdict)
    theorems: list[Theorem] = []
    for (paper, page, text), group in together.items():
        number = 1 + sum(theorem.verdict.claim.paper == paper for theorem in theorems)
        theorems.append(Theorem(f"{paper}.{number}", topics[page], text, tuple(group)))
    return theorems


def cite(theorem: Theorem, title: str, version: str, page: str = "book/theorems") -> str:
    """How to cite a theorem: number, claim, book, version, place."""
    names = " and ".join(verdict.claim.id for verdict in theorem.verdicts)
    which = "claims" if len(theorem.verdicts) > 1 else "claim"
    return f"{theorem.name} ({which} {names}), in: {title}, version {version}, {page}.html#{theorem.anchor}"


def contents(theorems: Iterable[Theorem], paper: str) -> str:
    """One paper's table of contents: a list of links for each topic. Titles of the paper's claims stand in quotes."""
    rows = []
    for topic, group in _by_topic(theorems, paper).items():
        items = "".join(
            f'<li><b>{theorem.number}</b> <span class="theorem-mark verdict-{theorem.verdict.slug}" '
            f'title="{html.escape(status(theorem.verdict))}">{MARKS[theorem.verdict.verdict]}</span> '
            f'<a href="#{html.escape(theorem.anchor)}">{_title(theorem.verdict)}</a></li>'
            for theorem in group
        )
        rows.append(f"<li><span>{html.escape(topic)}</span><ul>{items}</ul></li>")
    label = f"Theorems on paper {html.escape(paper)}"
    return f'<nav class="theorem-contents" aria-label="{label}"><ul>{"".join(rows)}</ul></nav>'


def section(theorems: Iterable[Theorem], paper: str, root: str = "../notebooks") -> str:
    """One paper's theorems: number and status, what was claimed, what holds, what it rests on, link to the proof."""
    theorems = list(theorems)
    numbered = {verdict.claim.id: theorem for theorem in theorems for verdict in theorem.verdicts}
    parts = []
    for topic, group in _by_topic(theorems, paper).items():
        parts.append(f'<h3 class="theorem-topic">{html.escape(topic)}</h3>')
        parts += [_box(theorem, numbered, root) for theorem in group]
    return f'<div class="theorems {MATHS}">{"".join(parts)}</div>'


def slips(verdicts: Mapping[str, Verdict], paper: str, root: str = "../notebooks") -> str:
    """What one paper misprints and clearly means otherwise, as a list; empty where there is nothing of the kind.

    A slip whose intended statement is a theorem of `collect` stands there and not here.
    """
    rows = []
    for name, verdict in verdicts.items():
        if verdict.claim.paper == paper and verdict.verdict == "slip" and not statement(verdict):
            item = next(item for item in verdict.evidence if item["type"] == "slip")
            rows.append(
                f'<li><a href="{html.escape(evidence_link(verdict, root))}">{html.escape(name)}</a> '
                f"({html.escape(verdict.claim.where)}). Printed: {to_html(item['printed'])}. "
                f"Meant: {to_html(item['intended'])}. As meant: {html.escape(verdict.intended or '')}.</li>"
            )
    if not rows:
        return ""
    return f'<h3 class="theorem-topic">Slips of the pen</h3><ul class="theorem-slips {MATHS}">{"".join(rows)}</ul>'


def _by_topic(theorems: Iterable[Theorem], paper: str) -> dict[str, list[Theorem]]:
    found: dict[str, list[Theorem]] = {}
    for theorem in theorems:
        if theorem.verdict.claim.paper == paper:
            found.setdefault(theorem.topic, []).append(theorem)
    if not found:
        raise ClaimError(f"no theorem on paper {paper}")
    return found


def _title(verdict: Verdict) -> str:
    title = html.escape(verdict.claim.title)
    return title if verdict.claim.ours else f"“{title}”"


def _box(theorem: Theorem, numbered: Mapping[str, Theorem], root: str) -> str:
    names = {verdict.claim.id for verdict in theorem.verdicts}
    needs = dict.fromkeys(need for verdict in theorem.verdicts for need in verdict.claim.depends if need not in names)
    rests = ", ".join(dict.fromkeys(_needed(need, numbered) for need in needs))
    rests = f"Rests on {rests}. " if rests else ""
    claims = ", ".join(
        f'<a href="{html.escape(evidence_link(verdict, root))}">{html.escape(verdict.claim.id)}</a>'
        for verdict in theorem.verdicts
    )
    return (
        f'<section class="theorem-box verdict-{theorem.verdict.slug}" id="{html.escape(theorem.anchor)}" '
        f'aria-label="{theorem.name}">{"".join(_said(theorem, verdict) for verdict in theorem.verdicts)}'
        f'<p class="theorem-holds"><b>What holds.</b> {to_html(theorem.statement)}</p>'
        f'<p class="theorem-foot">{rests}Proof and evidence: {claims}</p></section>'
    )


def _said(theorem: Theorem, verdict: Verdict) -> str:
    """Head of a box, and what the paper said; a second claim with the same correction gets an anchor of its own."""
    claim, first = verdict.claim, verdict is theorem.verdict
    number = f'<a class="theorem-number" href="#{html.escape(theorem.anchor)}">{theorem.name}</a> ' if first else "and "
    anchor = "" if first else f' id="theorem-{html.escape(claim.id)}"'
    said = "" if claim.ours else (
        f'<p class="theorem-said"><b>The paper</b> ({html.escape(claim.where)}): {to_html(claim.statement)}</p>'
    )  # fmt: skip
    return (
        f'<p class="theorem-head verdict-{verdict.slug}"{anchor}>{number}'
        f'<span class="theorem-title">{_title(verdict)}</span> '
        f'<span class="verdict-label">{html.escape(status(verdict))}</span></p>{said}'
    )


def _stopped(text: str) -> str:
    """The text with a full stop at its end."""
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _needed(need: str, numbered: Mapping[str, Theorem]) -> str:
    """A theorem by its number; what the papers state and needs no correction by its row of the ledger."""
    name = html.escape(need)
    if need in numbered:
        return f'<a href="#{html.escape(numbered[need].anchor)}">{numbered[need].number}</a>'
    return f'<a href="ledger.html#row-{name}">{name}</a>'
