"""The ledger of all claims as HTML: counts, filters, table. It reads as a full table where scripts do not run."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence

from mmfusion.graph import MARKS
from mmfusion.verdicts import KINDS, VERDICTS, Verdict, to_html

__all__ = ["counts", "dependencies", "filters", "table"]

MATHS = "tex2jax_process mathjax_process"


def counts(verdicts: Mapping[str, Verdict]) -> str:
    """How many claims have which verdict, as a list in the order of `VERDICTS`."""
    found = Counter(verdict.verdict for verdict in verdicts.values())
    items = "".join(
        f'<li class="verdict-count verdict-{name.replace(" ", "-")}"><b>{found[name]}</b> <span>{name}</span></li>'
        for name in VERDICTS
        if found[name]
    )
    return f'<ul class="counts" aria-label="Claims by verdict">{items}</ul>'


def filters(verdicts: Mapping[str, Verdict]) -> str:
    """The controls above the table. They stay hidden until `ledger.js` wakes them."""
    found = list(verdicts.values())
    papers = sorted({verdict.claim.paper for verdict in found})
    kinds = [kind for kind in KINDS if any(verdict.claim.kind == kind for verdict in found)]
    names = [name for name in VERDICTS if any(verdict.verdict == name for verdict in found)]
    return (
        '<form class="ledger-filters" id="ledger-filters" role="search" aria-label="Filter the claims" hidden>'
        + _select("paper", "Paper", papers)
        + _select("kind", "Kind", kinds)
        + _select("verdict", "Verdict", names)
        + '<p><label for="ledger-search">Search</label>'
        '<input type="search" id="ledger-search" name="search" placeholder="words or an id" autocomplete="off"></p>'
        '<p class="ledger-reset"><button type="reset">Clear</button></p>'
        f'<p class="ledger-count"><output id="ledger-count" aria-live="polite">{len(found)} claims</output></p></form>'
    )


def table(verdicts: Mapping[str, Verdict], links: Mapping[str, str]) -> str:
    """One row per claim: id, place and kind; statement and what holds instead; verdict and link to the evidence."""
    rows = "".join(_row(verdict, links.get(name)) for name, verdict in verdicts.items())
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Claim", "Statement", "Verdict"))
    return (
        f'<table class="ledger {MATHS}" id="ledger-table"><caption>Every claim, its verdict and its evidence</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def dependencies(verdicts: Mapping[str, Verdict]) -> str:
    """The dependency graph as a table: what each claim rests on, and what rests on it."""
    used: dict[str, list[str]] = {name: [] for name in verdicts}
    for name, verdict in verdicts.items():
        for need in verdict.claim.depends:
            if need in used:
                used[need].append(name)
    rows = "".join(
        f'<tr><th scope="row">{_jump(name)} {html.escape(verdict.claim.title)}</th>'
        f"<td>{html.escape(verdict.label)}</td>"
        f"<td>{_jumps([n for n in verdict.claim.depends if n in verdicts])}</td><td>{_jumps(used[name])}</td></tr>"
        for name, verdict in verdicts.items()
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Claim", "Verdict", "Rests on", "Used by"))
    return (
        '<details class="ledger-details"><summary>The same graph as a table</summary><div class="table-scroll">'
        f'<table class="ledger-depends"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


def _select(name: str, label: str, options: Sequence[str]) -> str:
    choices = "".join(f'<option value="{html.escape(option)}">{html.escape(option)}</option>' for option in options)
    return (
        f'<p><label for="ledger-{name}">{label}</label>'
        f'<select id="ledger-{name}" name="{name}"><option value="">all</option>{choices}</select></p>'
    )


def _row(verdict: Verdict, link: str | None) -> str:
    claim = verdict.claim
    holds = f'<p class="ledger-holds"><b>What holds.</b> {to_html(verdict.corrected)}</p>' if verdict.corrected else ""
    reported = f'<p class="ledger-reported">Reported: {to_html(claim.reported)}</p>' if claim.reported else ""
    evidence = ""
    if link:
        evidence = (
            f' <a href="{html.escape(link)}" aria-label="Evidence for {html.escape(claim.id)}">see the evidence</a>'
        )
    # What the search looks through: words and formulas as written, before the typesetter has them.
    words = " ".join((claim.id, claim.where, claim.title, claim.statement, verdict.label, verdict.corrected or ""))
    return (
        f'<tr id="row-{html.escape(claim.id)}" data-claim="{html.escape(claim.id)}" '
        f'data-paper="{html.escape(claim.paper)}" data-kind="{html.escape(claim.kind)}" '
        f'data-verdict="{html.escape(verdict.verdict)}" data-words="{html.escape(words.lower())}">'
        f'<th scope="row"><span class="ledger-id">{html.escape(claim.id)}</span> '
        f'<span class="ledger-where">{html.escape(claim.where)}</span> '
        f'<span class="ledger-kind">{html.escape(claim.kind)}</span></th>'
        f'<td data-label="Statement"><p><b>{html.escape(claim.title)}.</b> {to_html(claim.statement)}</p>'
        f"{reported}{holds}</td>"
        f'<td data-label="Verdict"><span class="ledger-verdict verdict-{verdict.slug}">'
        f"{MARKS[verdict.verdict]} {html.escape(verdict.label)}</span>{evidence}</td></tr>"
    )


def _jump(name: str) -> str:
    return f'<a href="#row-{html.escape(name)}">{html.escape(name)}</a>'


def _jumps(names: Sequence[str]) -> str:
    return ", ".join(map(_jump, names)) or "–"
