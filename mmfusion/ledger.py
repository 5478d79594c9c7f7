"""The ledger of all claims as HTML: counts, filters, table. It reads as a full table where scripts do not run."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from mmfusion.graph import MARKS, svg
from mmfusion.verdicts import KINDS, VERDICTS, Claim, ClaimError, Verdict, to_html

__all__ = [
    "bands", "counts", "dependencies", "evidence_link", "evidence_page", "filters", "graphs", "preview_banner",
    "supposed", "table", "tally",
]  # fmt: skip

MATHS = "tex2jax_process mathjax_process"


def preview_banner(profile: str) -> str:
    """The warning above a page made with the smoke profile, which is for tests; nothing for other profiles."""
    if profile != "smoke":
        return ""
    return '<p class="preview-banner">Preview made with the smoke profile, for tests. Its numbers mean nothing.</p>'


def counts(verdicts: Mapping[str, Verdict]) -> str:
    """How many claims have which verdict, as a list in the order of `VERDICTS`."""
    found = Counter(verdict.verdict for verdict in verdicts.values())
    items = "".join(
        f'<li class="verdict-count verdict-{name.replace(" ", "-")}"><b>{found[name]}</b> <span>{name}</span></li>'
        for name in VERDICTS
        if found[name]
    )
    return f'<ul class="counts" aria-label="Claims by verdict">{items}</ul>'


def evidence_page(verdict: Verdict) -> str:
    """The page whose evidence decided: the claim's own, if it gave any. Raises `ClaimError` without evidence."""
    pages = [item["notebook"] for item in verdict.evidence if "notebook" in item]
    if not pages:
        raise ClaimError(f"claim {verdict.claim.id}: no recorded evidence, so no page to link to")
    return verdict.claim.notebook if verdict.claim.notebook in pages else pages[0]


def evidence_link(verdict: Verdict, root: str = "../notebooks") -> str:
    """Link to the claim's box on that page."""
    return f"{root}/{evidence_page(verdict)}.html#{verdict.anchor}"


def bands(claims: Mapping[str, Claim], topics: Mapping[str | None, str]) -> dict[str, str]:
    """Topic of each claim, in the order of the topics and within a topic of the claims.

    Raises `ClaimError` for a page without a topic; `topics[None]` is for claims that no page examines.
    """
    unknown: dict[str, list[str]] = {}
    for name, claim in claims.items():
        if claim.notebook not in topics:
            unknown.setdefault(str(claim.notebook), []).append(name)
    if unknown:
        lost = "; ".join(f"{page}, which {', '.join(names)} name" for page, names in unknown.items())
        raise ClaimError(f"no topic for the page {lost}: add it to TOPICS")
    order = list(topics)
    names = sorted(claims, key=lambda name: order.index(claims[name].notebook))
    return {name: topics[claims[name].notebook] for name in names}


def supposed(verdicts: Mapping[str, Verdict], words: Mapping[str, str | Sequence[str]]) -> list[Verdict]:
    """The verdicts of the claims that a text speaks of, in its order, if they are what the text supposes.

    words: claim's id → label, or the labels under all of which the text is true. Raises `ClaimError` otherwise, so that
    a text cannot outlive its evidence.
    """
    wrong = []
    for name, labels in words.items():
        wanted = (labels,) if isinstance(labels, str) else tuple(labels)
        found = verdicts[name].label if name in verdicts else "no claim at all"
        if found not in wanted:
            wrong.append(f"the text supposes that {name} is {' or '.join(wanted)}, the records say {found}")
    if wrong:
        raise ClaimError("; ".join(wrong))
    return [verdicts[name] for name in words]


def tally(verdicts: Mapping[str, Verdict]) -> str:
    """How many claims of each paper have which verdict: kinds, their verdicts below, a column for each paper and for
    all. A number leads to the ledger filtered to what it counts."""
    found = list(verdicts.values())
    papers = sorted({verdict.claim.paper for verdict in found})
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in (*papers, "all"))

    def row(label: str, **wanted: str) -> str:
        cells = []
        for paper in (*papers, None):
            asked = {**({"paper": paper} if paper else {}), **wanted}
            count = sum(_fits(verdict, asked) for verdict in found)
            cells.append(f"<td>{_filtered(count, asked) if count else '·'}</td>")
        return f'<tr><th scope="row">{label}</th>{"".join(cells)}</tr>'

    body = ""
    for kind in KINDS:
        names = [name for name in VERDICTS if any(v.claim.kind == kind and v.verdict == name for v in found)]
        if names:
            rows = "".join(
                row(f'<span class="ledger-verdict verdict-{name.replace(" ", "-")}">{MARKS[name]} {name}</span>',
                    kind=kind, verdict=name)
                for name in names
            )  # fmt: skip
            body += f"<tbody>{row(f'<b>{kind}</b>', kind=kind)}{rows}</tbody>"
    return (
        '<div class="table-scroll"><table class="ledger-tally"><caption>Claims by kind, verdict and paper</caption>'
        f'<thead><tr><th scope="col">Kind and verdict</th>{head}</tr></thead>{body}'
        f"<tfoot>{row('<b>all claims</b>')}</tfoot></table></div>"
    )


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


def graphs(
    verdicts: Mapping[str, Verdict], topics: Mapping[str, str], links: Mapping[str, str], papers: Mapping[str, str]
) -> str:
    """The dependency graph of each paper under a heading of its own, each with its table form; a list to jump first.

    Parameters
    ----------
    topics: claim's id → band, in the order of the bands (`bands`).
    links: claim's id → its evidence.
    papers: letter → what the paper is about. Raises `ClaimError` for a paper without these words.
    """
    unnamed = sorted({verdict.claim.paper for verdict in verdicts.values()} - papers.keys())
    if unnamed:
        raise ClaimError(f"no words for paper {', '.join(unnamed)}")
    jumps, parts = [], []
    for paper, words in papers.items():
        part = {name: verdicts[name] for name in topics if name in verdicts and verdicts[name].claim.paper == paper}
        if not part:
            continue
        examined = sum(verdict.verdict != "not yet examined" for verdict in part.values())
        title = f"Paper {paper}: {words}"
        said = (
            f"Dependency graph of {len(part)} claims of paper {paper}, {examined} of them examined, "
            f"in {len({topics[name] for name in part})} bands by topic"
        )
        key = html.escape(f"graph-{paper.lower()}")
        jumps.append(f'<li><a href="#{key}">{html.escape(title)}</a> <span>{len(part)} claims</span></li>')
        parts.append(
            f'<section class="ledger-graph" aria-labelledby="{key}"><h3 id="{key}">{html.escape(title)}</h3>'
            f'<div class="claim-graph-scroll" tabindex="0" role="region" aria-labelledby="{key}">'
            f"{svg(part, topics, links, said, name=paper.lower())}</div>"
            f"{dependencies(verdicts, paper)}</section>"
        )
    return f'<nav class="ledger-jumps" aria-label="Graphs"><ul>{"".join(jumps)}</ul></nav>{"".join(parts)}'


def dependencies(verdicts: Mapping[str, Verdict], paper: str | None = None) -> str:
    """The dependency graph as a table: what each claim rests on, and what rests on it. With `paper`, rows for its
    claims only; what they rest on may lie outside."""
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
        if paper in (None, verdict.claim.paper)
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Claim", "Verdict", "Rests on", "Used by"))
    return (
        '<details class="ledger-details"><summary>The same graph as a table</summary><div class="table-scroll">'
        f'<table class="ledger-depends"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


def _fits(verdict: Verdict, wanted: Mapping[str, str]) -> bool:
    has = {"paper": verdict.claim.paper, "kind": verdict.claim.kind, "verdict": verdict.verdict}
    return all(has[name] == value for name, value in wanted.items())


def _filtered(count: int, wanted: Mapping[str, str]) -> str:
    """A number that leads to the table with these filters set."""
    link = html.escape(f"?{urlencode(wanted)}#all-claims" if wanted else "#all-claims")
    words = html.escape(", ".join(wanted.values()) or "all")
    return f'<a href="{link}" aria-label="{count}: {words}">{count}</a>'


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
