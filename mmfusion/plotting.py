"""House style: one palette for the whole book, and figures that carry their words, numbers and origin.

Figures are shown as inline SVG whose ink is the page's own text colour, so they read on light and dark pages alike.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mmfusion import records

__all__ = [
    "COLOURS",
    "DASHES",
    "MARKERS",
    "NEUTRAL",
    "OURS",
    "PAPER",
    "WORDS",
    "Figure",
    "house_style",
    "label_line",
    "publish",
    "style",
    "table",
    "words",
]

# Okabe and Ito's palette, lightened or darkened until each reads at 3:1 on the white and on the dark page.
RED, BLUE, GREEN, ORANGE, PURPLE = "#d4553a", "#3f86c9", "#0a9971", "#c8860a", "#b0679a"
NEUTRAL = "#85888f"
PAPER, OURS = ORANGE, BLUE
COLOURS = {
    "sum": RED, "concat": BLUE, "attention": GREEN,
    "sum-scaled": RED, "concat-scaled": BLUE, "concat-matched": PURPLE,
    "attention-plain": ORANGE, "attention-scaled": PURPLE, "attention-regularised": BLUE,
    "attention-original": GREEN, "sum-wide": RED, "concat-scalar": BLUE, "concat-scalars": BLUE,
}  # fmt: skip
MARKERS = {
    "sum": "o", "concat": "s", "attention": "^", "sum-scaled": ">", "concat-scaled": "<", "concat-matched": "D",
    "attention-plain": "v", "attention-scaled": "P", "attention-regularised": "X", "attention-original": "*",
    "sum-wide": "H", "concat-scalar": "p", "concat-scalars": "d",
}  # fmt: skip
DASHES = {
    "sum": "-", "concat": (0, (5, 1.5)), "attention": (0, (1.2, 1.2)), "sum-scaled": (0, (3, 1, 1, 1)),
    "concat-scaled": (0, (3, 1, 1, 1)), "concat-matched": (0, (7, 2)), "attention-plain": "-",
    "attention-scaled": (0, (5, 1.5)), "attention-regularised": (0, (3, 1, 1, 1)),
    "attention-original": (0, (4, 1, 1, 1)), "sum-wide": (0, (7, 2)), "concat-scalar": (0, (2, 1)),
    "concat-scalars": (0, (6, 1, 1, 1)),
}  # fmt: skip
WORDS = {
    "sum": "sum", "concat": "concatenation", "attention": "attention", "sum-scaled": "sum ÷ √d",
    "concat-scaled": "concatenation ÷ √d", "concat-matched": "concatenation, as many weights",
    "attention-plain": "attention, neither", "attention-scaled": "attention, scaling only",
    "attention-regularised": "attention, regularisation only", "attention-original": "attention on raw latents",
    "sum-wide": "sum, written n times", "concat-scalar": "concatenation × one scalar",
    "concat-scalars": "concatenation × scalars",
}  # fmt: skip
# A colour that no data uses: `publish` turns it into the page's text colour.
INK = "#010203"


def house_style() -> None:
    """Set Matplotlib's defaults for the book. Call once per notebook, before the first figure.

    NumPy's scalars print as plain numbers from then on, since what a page glues into its text is printed.
    """
    np.set_printoptions(legacy="1.25")
    mpl.rcdefaults()
    plt.rcParams.update({
        "figure.figsize": (7.0, 3.7), "figure.dpi": 120, "figure.constrained_layout.use": True,
        "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "legend.frameon": False,
        "font.size": 10.5, "axes.titlesize": 11.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
        "grid.alpha": 0.18, "grid.linewidth": 0.8, "lines.linewidth": 2.0, "lines.markersize": 5,
        "axes.prop_cycle": mpl.cycler(color=[BLUE, RED, GREEN, ORANGE, PURPLE, NEUTRAL]),
        "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
        "grid.color": INK, "axes.titlecolor": INK, "legend.labelcolor": INK, "patch.edgecolor": INK, "hatch.color": INK,
        "boxplot.boxprops.color": INK, "boxplot.whiskerprops.color": INK, "boxplot.capprops.color": INK,
        "boxplot.medianprops.color": INK, "boxplot.flierprops.markeredgecolor": INK,
        "svg.fonttype": "path", "svg.hashsalt": "mmfusion", "image.cmap": "cividis", "mathtext.fontset": "dejavusans",
    })  # fmt: skip


def _known(variant: str) -> str:
    """The longest fusion's name that a variant begins with: settings are appended to it by a dash."""
    fits = [name for name in COLOURS if variant == name or variant.startswith(name + "-")]
    return max(fits, key=len, default="")


def style(variant: str) -> dict[str, Any]:
    """Colour, dash and marker of a fusion, or of a variant named after one (``sum-lr-0.01``); neutral otherwise."""
    name = _known(variant)
    return {
        "color": COLOURS.get(name, NEUTRAL), "linestyle": DASHES.get(name, "-"), "marker": MARKERS.get(name, "o"),
    }  # fmt: skip


def words(variant: str) -> str:
    """A fusion as people call it; of a variant, what follows the fusion's name stays as it is."""
    name = _known(variant)
    return f"{WORDS.get(name, '')}{variant.removeprefix(name).replace('-', ' ', 1)}"


def label_line(
    axes: Any, line: Any, text: str, *, offset: tuple[float | int, float | int] = (6, 0), at: int = -1
) -> None:
    """Write `text` beside a line's point (by default its last), in the line's colour; `offset` in points."""
    x, y = line.get_xdata()[at], line.get_ydata()[at]
    axes.annotate(
        text, (x, y), xytext=offset, textcoords="offset points", color=line.get_color(), va="center",
        fontweight="bold", annotation_clip=False,
    )  # fmt: skip


class Figure:
    """A published figure: SVG or table, alt text, caption, numbers as CSV, provenance. Shows itself in a notebook."""

    def __init__(
        self, name: str, body: str, alt: str, caption: str, frame: pd.DataFrame | None, facts: Mapping[str, Any]
    ):
        self.name, self.body, self.alt, self.caption = name, body, alt, caption
        self.frame, self.facts = frame, dict(facts)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/plain": f"Figure {self.name}: {self.alt}", "text/html": self.to_html()}

    def to_html(self) -> str:
        """The figure as one HTML element that needs no other file."""
        from mmfusion.claims import to_html

        origin = " · ".join(f"{key}: {_compact(value)}" for key, value in self.facts.items())
        link = ""
        if self.frame is not None:
            data = base64.b64encode(self.frame.to_csv(index=False).encode()).decode()
            link = f'<a class="csv" download="{self.name}.csv" href="data:text/csv;base64,{data}">Numbers as CSV</a>'
        return (
            f'<figure class="plate tex2jax_process mathjax_process" id="figure-{html.escape(self.name)}">{self.body}'
            f"<figcaption><p>{to_html(self.caption)}</p>"
            f'<p class="provenance">{html.escape(origin)} {link}</p></figcaption></figure>'
        )


def _named(name: str) -> None:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"figure name {name!r}: wanted lower-case letters, digits and single dashes")


def _compact(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def publish(
    figure: Any,
    name: str,
    *,
    alt: str,
    caption: str = "",
    data: pd.DataFrame | Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Figure:
    """Close a Matplotlib figure and return it ready to show.

    Parameters
    ----------
    figure: the Matplotlib figure.
    name: short, unique in the book, in lower-case letters, digits and dashes; also the CSV's name.
    alt: what the figure shows, in words, for those who cannot see it. Must not be empty.
    caption: one or two sentences; `$…$` is mathematics.
    data: the plotted numbers (columns of equal length), offered as CSV.
    provenance: facts of the run (profile, data set and hash, seeds, device); versions and commit are added.
    """
    _named(name)
    if not alt.strip():
        raise ValueError(f"figure {name}: alt text is empty")
    try:
        frame = None if data is None else pd.DataFrame(data)
    except ValueError as error:
        raise ValueError(f"figure {name}: data must be columns of equal length ({error})") from error
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = svg.replace(INK, "currentColor")
    # Matplotlib reuses ids such as figure_1 and glyph names in every file; one page holds several.
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    label = html.escape(" ".join(alt.split()))
    head = (
        'role="img" aria-label="' + label + '" xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    # A function, not a template: words may hold backslashes.
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', lambda match: f'<svg viewBox="{match[1]}" {head}', svg, count=1)
    return Figure(name, svg, alt, caption, frame, _facts(provenance))


def table(
    frame: pd.DataFrame,
    name: str,
    *,
    caption: str,
    provenance: Mapping[str, Any] | None = None,
    precision: int = 4,
) -> Figure:
    """A table with caption, CSV and provenance. Numbers are rounded on the page to `precision` significant digits,
    not in the CSV; text cells may hold `$…$`."""
    from mmfusion.claims import to_html

    _named(name)
    if not caption.strip():
        raise ValueError(f"table {name}: caption is empty")

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:.{precision}g}"
        return to_html(str(value))

    head = "".join(f'<th scope="col">{to_html(str(column))}</th>' for column in frame.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{cell(v)}</td>" for v in row) + "</tr>" for row in frame.itertuples(index=False)
    )
    body = f'<div class="table-scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    return Figure(name, body, caption, caption, frame, _facts(provenance))


def _facts(given: Mapping[str, Any] | None) -> dict[str, Any]:
    stamped = records.provenance(**dict(given or {}))
    return {key: value for key, value in stamped.items() if key not in ("python", "numpy", "date")}
