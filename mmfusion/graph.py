"""The claims' dependency graph: a layered layout in plain Python, drawn as SVG.

A column holds the claims that rest on equally long chains of others; a band holds the claims of one group. Every edge
runs from left to right, from what is used to what uses it.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmfusion.verdicts import VERDICTS, Verdict

__all__ = ["MARKS", "Layout", "depths", "layout", "svg"]

# The same marks as the verdict boxes: colour never stands alone.
MARKS = {
    "proved": "✓", "reproduced": "✓", "consistent": "✓", "sharpened": "▲", "needs an assumption": "◐",
    "inconclusive": "◐", "needs data": "◐", "slip": "✎", "refuted": "✕", "contradicted": "✕", "inconsistent": "✕",
    "check failed": "✕", "corroborated": "≈", "not yet examined": "○",
}  # fmt: skip
assert set(MARKS) == set(VERDICTS)
BOX = (170.0, 64.0)
STEP = (216.0, 76.0)
MARGIN, HEAD, GAP = 12.0, 26.0, 14.0
LETTERS = 25


@dataclass(frozen=True)
class Layout:
    """Where everything goes, in pixels: upper left corners of the boxes, and (label, top, height) of the bands."""

    places: dict[str, tuple[float, float]]
    bands: tuple[tuple[str, float, float], ...]
    width: float
    height: float


def depths(depends: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Length of the longest chain below each node. Raises `ValueError` on an unknown node or a circle."""
    found: dict[str, int] = {}
    left = dict(depends)
    while left:
        ready = [name for name, needs in left.items() if all(need in found for need in needs)]
        if not ready:
            unknown = sorted({need for needs in left.values() for need in needs} - set(depends))
            raise ValueError(f"unknown: {', '.join(unknown)}" if unknown else f"a circle among {', '.join(left)}")
        found |= {name: 1 + max((found[need] for need in left[name]), default=-1) for name in ready}
        for name in ready:
            del left[name]
    return found


def layout(depends: Mapping[str, Sequence[str]], groups: Mapping[str, str]) -> Layout:
    """Place every node: columns by `depths`, bands by group in order of first appearance.

    Inside a band a node takes the first free row at or below the mean row of what it rests on there, so that chains
    run straight.

    Parameters
    ----------
    depends: node → nodes it rests on.
    groups: node → label of its band; every node needs one.
    """
    missing = [name for name in depends if name not in groups]
    if missing:
        raise ValueError(f"no group for {', '.join(missing)}")
    column = depths(depends)
    places: dict[str, tuple[float, float]] = {}
    bands, top = [], float(MARGIN)
    for group in dict.fromkeys(groups[name] for name in depends):
        rows: dict[str, int] = {}
        taken: set[tuple[int, int]] = set()
        for name in sorted((name for name in depends if groups[name] == group), key=column.__getitem__):
            near = [rows[need] for need in depends[name] if need in rows]
            row = round(sum(near) / len(near)) if near else 0
            while (column[name], row) in taken:
                row += 1
            rows[name] = row
            taken.add((column[name], row))
        height = HEAD + (max(rows.values()) + 1) * STEP[1]
        for name, row in rows.items():
            places[name] = (MARGIN + column[name] * STEP[0], top + HEAD + row * STEP[1])
        bands.append((group, top, height))
        top += height + GAP
    width = MARGIN + max(column.values()) * STEP[0] + BOX[0] + MARGIN
    return Layout(places, tuple(bands), width, top)


def svg(
    verdicts: Mapping[str, Verdict], groups: Mapping[str, str], links: Mapping[str, str], label: str, name: str = "all"
) -> str:
    """The graph of these verdicts' claims as one inline SVG element.

    Each box shows the claim's id, title and verdict in words, a mark, and the verdict's colour (class `verdict-…`,
    property `--tone`). A claim in `links` becomes a link. `label` describes the graph to those who cannot see it;
    `name` keeps the ids of several graphs on one page apart.
    """
    if not verdicts:
        raise ValueError("no claims to draw")
    if not label.strip():
        raise ValueError("the graph's label is empty")
    depends = {
        key: [need for need in verdict.claim.depends if need in verdicts] for key, verdict in verdicts.items()
    }  # fmt: skip
    plan = layout(depends, groups)
    parts = [
        f'<svg class="claim-graph" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {plan.width:g} {plan.height:g}" '
        f'width="{plan.width:g}" height="{plan.height:g}" role="group" aria-label="{html.escape(label)}">',
        f'<defs><marker id="claim-arrow-{html.escape(name)}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0.5 L8 4 L0 7.5 z"/></marker></defs>',
    ]
    for group, top, height in plan.bands:
        # A band whose boxes all lie in later columns would look empty where the graph is cut on the right.
        starts_late = min(plan.places[key][0] for key in verdicts if groups[key] == group) > MARGIN
        hint = '<tspan class="band-hint" dx="8">further right →</tspan>' if starts_late else ""
        parts.append(
            f'<rect class="band" x="1" y="{top:g}" width="{plan.width - 2:g}" height="{height:g}" rx="8"/>'
            f'<text class="band-name" x="{MARGIN:g}" y="{top + 17:g}">{html.escape(group)}{hint}</text>'
        )
    parts += [_edge(plan, need, user, name) for user, needs in depends.items() for need in needs]
    parts += [_node(plan, verdict, depends[key], links.get(key)) for key, verdict in verdicts.items()]
    return "".join(parts) + "</svg>"


def _edge(plan: Layout, start: str, end: str, name: str) -> str:
    (x0, y0), (x1, y1) = plan.places[start], plan.places[end]
    x0, y0, y1 = x0 + BOX[0], y0 + BOX[1] / 2, y1 + BOX[1] / 2
    bend = min(60.0, (x1 - x0) / 2)
    return (
        f'<path class="edge" data-from="{html.escape(start)}" data-to="{html.escape(end)}" '
        f'd="M{x0:g} {y0:g} C{x0 + bend:g} {y0:g} {x1 - bend:g} {y1:g} {x1:g} {y1:g}" '
        f'marker-end="url(#claim-arrow-{html.escape(name)})"/>'
    )


def _node(plan: Layout, verdict: Verdict, needs: Sequence[str], link: str | None) -> str:
    x, y = plan.places[verdict.claim.id]
    claim, words = verdict.claim, f"{MARKS[verdict.verdict]} {verdict.verdict}"
    if verdict.intended:
        words += f" ({verdict.intended})"
    rests = f" Rests on {', '.join(needs)}." if needs else ""
    said = html.escape(f"{claim.id}, {verdict.label}: {claim.title}.{rests}")
    # A verdict's weight shows in the box's outline too: round where a claim stands, square where it falls.
    lines = textwrap.wrap(claim.title, LETTERS, max_lines=2, placeholder="…")
    title = "".join(
        f'<tspan x="{x + 10:g}" y="{y + 30 + 13 * i:g}">{html.escape(line)}</tspan>' for i, line in enumerate(lines)
    )
    corner = 3 if MARKS[verdict.verdict] == "✕" else 12
    body = (
        f"<title>{said}</title>"
        f'<rect x="{x:g}" y="{y:g}" width="{BOX[0]:g}" height="{BOX[1]:g}" rx="{corner}"/>'
        f'<text class="name" x="{x + 10:g}" y="{y + 16:g}">{html.escape(claim.id)}</text>'
        f"<text>{title}</text>"
        f'<text class="verdict-word" x="{x + 10:g}" y="{y + BOX[1] - 7:g}">{html.escape(words)}</text>'
    )
    frame = f'class="node verdict-{verdict.slug}" data-node="{html.escape(claim.id)}" aria-label="{said}"'
    if link:
        return f'<a {frame} href="{html.escape(link)}">{body}</a>'
    return f'<g {frame} role="img">{body}</g>'
