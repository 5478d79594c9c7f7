"""Figures of an experiment: curves with bands, constants of the parts, boxes, ratios, reconstructions.

Each returns a published figure with words, numbers and origin; ``name`` is its name in the book. Curves are geometric
means over seeds with 95 % intervals, because losses and constants vary by factors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import matplotlib.ticker as mticker
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmfusion import plotting, statistics
from mmfusion.experiment import Experiment
from mmfusion.statistics import Comparison

_DASHES = ("-", (0, (4, 2)), (0, (1.2, 1.2)), (0, (5, 1, 1, 1)))
UNITS = "Pictures in squared intensity, windows in squared standard deviations; their sum follows the larger."


def bands(experiment: Experiment) -> str:
    """What lines and bands are, for a caption."""
    return f"Lines are geometric means over {len(experiment.seeds)} seeds, bands their 95 % intervals."


def _zeros(experiment: Experiment, variants: Iterable[str], kind: str, names: Iterable[str]) -> str:
    """A sentence about values that a logarithmic scale cannot show, where there are any."""
    names = list(names)
    count = sum(int((experiment.series(v, kind, name) <= 0).sum().sum()) for v in variants for name in names)
    return f" Left out: {count} of zero, from parts that ignore their input." if count else ""


def numbers(experiment: Experiment, variants: Iterable[str], kind: str, names: Iterable[str]) -> pd.DataFrame:
    """What a figure of curves shows: ``epoch, mean, low, high, n, variant, quantity``."""
    names = list(names)
    return pd.concat(
        [
            statistics.geometric_band(experiment.series(variant, kind, name))
            .rename_axis("epoch").reset_index().assign(variant=variant, quantity=name)
            for variant in variants for name in names
        ],
        ignore_index=True,
    )  # fmt: skip


def draw(axes: Any, table: pd.DataFrame, **style: Any) -> Any:
    """Draw the geometric mean over the columns of ``table`` against its index, with its 95 % band; return the line."""
    band = statistics.geometric_band(table)
    line = axes.plot(band.index, band["mean"], **style)[0]
    axes.fill_between(band.index, band.low, band.high, color=line.get_color(), alpha=0.16, linewidth=0)
    return line


def label_ends(axes: Any, lines: Mapping[str, Any], gap: float | int = 11) -> None:
    """Name lines at their right ends, the names at least ``gap`` points apart. Lines without a point stay unnamed.

    Limits and scales of the axes must be final."""
    axes.figure.draw_without_rendering()
    scale = axes.figure.dpi / 72
    ends = sorted(
        (axes.transData.transform((line.get_xdata()[-1], line.get_ydata()[-1]))[1] / scale, text)
        for text, line in lines.items() if len(line.get_xdata())
    )  # fmt: skip
    if not ends:
        return
    heights = np.array([height for height, _ in ends])
    steps = gap * np.arange(len(ends))
    # Crowded names pushed up, and pushed down; halfway they sit around their lines, and keep apart as both do.
    up = np.maximum.accumulate(heights - steps) + steps
    down = np.minimum.accumulate((heights - steps)[::-1])[::-1] + steps
    box = axes.get_window_extent()
    places = np.minimum((up + down) / 2, box.y1 / scale - 3 - steps[::-1])
    places = np.maximum(places, box.y0 / scale + 6 + steps)
    for (height, text), place in zip(ends, places, strict=True):
        plotting.label_line(axes, lines[text], text, offset=(6.0, float(place - height)))


def readable(axis: Any) -> None:
    """Plain numbers on a logarithmic axis, also where it spans little more than a decade."""
    low, high = axis.get_view_interval()
    if high / low < 2.5:
        axis.set_major_locator(mticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
        axis.set_minor_locator(mticker.NullLocator())
    elif high / low < 300:
        axis.set_major_locator(mticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7) if high / low < 30 else (1, 2, 5)))
        axis.set_minor_formatter(mticker.NullFormatter())
    if high / low < 1e4:
        axis.set_major_formatter(mticker.FormatStrFormatter("%g"))


def panels(count: int, height: float | int = 3.3, columns: int = 3, **options: Any) -> tuple[Any, list[Any]]:
    """A figure with ``count`` panels: one row of up to three, a square of four, else rows of ``columns``."""
    columns = 2 if count == 4 else min(count, columns)
    rows = math.ceil(count / columns)
    size = (8.6 if columns > 1 else 7, height * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, **options)
    axes = list(grid.flat)
    for empty in axes[count:]:
        empty.set_visible(False)
    return figure, axes[:count]


def curves(
    experiment: Experiment, variants: Sequence[str], quantity: str, *, name: str, ylabel: str, kind: str = "measures",
    alt: str | None = None, caption: str = "", labels: Mapping[str, str] | None = None,
    styles: Mapping[str, Mapping[str, Any]] | None = None, reference: float | None = None, log: bool = True,
    provenance: Mapping[str, Any] | None = None,
) -> plotting.Figure:  # fmt: skip
    """One quantity against the epoch, one labelled line per variant.

    Parameters
    ----------
    quantity, kind : what to draw, see :meth:`mmfusion.experiment.Experiment.series`.
    labels, styles : words, and options of ``plot``, of a variant, where they differ from the fusions' own.
    reference : a level to mark by a dotted line.
    """
    labels, styles = labels or {}, styles or {}
    figure, axes = plt.subplots(figsize=(7, 3.8))
    lines = {}
    for variant in variants:
        look = _line_style(variant) | dict(styles.get(variant, {}))
        text = labels.get(variant, plotting.words(variant))
        lines[text] = draw(axes, experiment.series(variant, kind, quantity), **look)
    if reference is not None:
        axes.axhline(reference, color=plotting.NEUTRAL, linewidth=1, linestyle=":")
    axes.set(xlabel="epoch", ylabel=ylabel)
    if log:
        axes.set_yscale("log")
        readable(axes.yaxis)
    _room(axes, experiment, lines)
    label_ends(axes, lines)
    return plotting.publish(
        figure, name,
        alt=alt or f"{' '.join(ylabel.split())} against the epoch for {_listed(lines)}.",
        caption=f"{caption} {bands(experiment)}".strip() + _zeros(experiment, variants, kind, [quantity]),
        data=numbers(experiment, variants, kind, [quantity]), provenance=provenance or experiment.facts(),
    )  # fmt: skip


def losses(
    experiment: Experiment, variants: Sequence[str], kind: str, *, name: str, caption: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> plotting.Figure:  # fmt: skip
    """The loss of every modality and of all together against the epoch, one panel each."""
    said = {"train": "training", "test": "test"}[kind]
    quantities = [*experiment.modalities, "total"]
    figure, drawn = panels(len(quantities))
    for axes, quantity in zip(drawn, quantities, strict=True):
        lines = {
            plotting.words(v): draw(axes, experiment.series(v, kind, quantity), **_line_style(v)) for v in variants
        }
        axes.set(yscale="log", xlabel="epoch", title={"total": "together"}.get(quantity, quantity))
        readable(axes.yaxis)
    _room(drawn[-1], experiment, lines)
    for axes in drawn[:: 2 if len(drawn) == 4 else 3]:
        axes.set_ylabel(f"{said} loss (mean squared error)")
    label_ends(drawn[-1], lines)
    return plotting.publish(
        figure, name,
        alt=f"The {said} loss of {_listed(experiment.modalities)} and of all together against the epoch, for "
        f"{_listed(lines)}.",
        caption=f"{caption or f'The {said} loss.'} {UNITS} {bands(experiment)}",
        data=numbers(experiment, variants, kind, quantities), provenance=provenance or experiment.facts(),
    )  # fmt: skip


def parts(
    experiment: Experiment, variants: Sequence[str], *, name: str, measure: str = "lower", caption: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> plotting.Figure:  # fmt: skip
    """Lipschitz constants of every encoder and decoder against the epoch, one panel per variant on one scale."""
    names = {
        f"{modality} {part}": (f"{part}/{modality}/{measure}", {"linewidth": width, "linestyle": dash})
        for part, width in (("encoder", 2.6), ("decoder", 1.1))
        for modality, dash in zip(experiment.modalities, _DASHES, strict=False)
    }
    figure, drawn = panels(len(variants), 3.7, sharey=True)
    for axes, variant in zip(drawn, variants, strict=True):
        colour = plotting.style(variant)["color"]
        axes.lines_ = {
            text: draw(axes, experiment.series(variant, "measures", key), color=colour, **look)
            for text, (key, look) in names.items()
        }
        axes.set(yscale="log", xlabel="epoch", title=plotting.words(variant))
        _room(axes, experiment, names)
    for axes in drawn[:: 2 if len(drawn) == 4 else 3]:
        axes.set_ylabel("Lipschitz constant" + (" (lower bound)" if measure == "lower" else f" ({measure})"))
    for axes in drawn:
        label_ends(axes, axes.lines_)
    return plotting.publish(
        figure, name,
        alt=f"Constants of {_listed(names)} against the epoch, log scale, one panel each for "
        f"{_listed(map(plotting.words, variants))}.",
        caption=f"{caption or 'Constants of encoders (thick) and decoders (thin).'} {bands(experiment)}"
        + _zeros(experiment, variants, "measures", [key for key, _ in names.values()]),
        data=numbers(experiment, variants, "measures", [key for key, _ in names.values()]),
        provenance=provenance or experiment.facts(),
    )  # fmt: skip


def boxes(
    experiment: Experiment, variants: Sequence[str], quantities: Mapping[str, str], *, name: str, kind: str = "test",
    caption: str = "", provenance: Mapping[str, Any] | None = None,
) -> plotting.Figure:  # fmt: skip
    """Last values of all seeds, as points and a box per variant; one panel per quantity (label → recorded name).

    ``kind`` is ``train`` or ``test`` for losses, ``measures`` for constants, which are drawn on a logarithmic scale.
    """
    said = {"train": "training loss", "test": "test loss", "measures": "Lipschitz constant"}[kind]
    ends = pd.DataFrame(
        [{"variant": v, "quantity": label, "seed": s, "value": value}
         for v in variants for label, quantity in quantities.items()
         for s, value in experiment.at_end(v, kind, quantity).items()]
    ).dropna()  # fmt: skip
    figure, drawn = panels(len(quantities), 3.4)
    for axes, label in zip(drawn, quantities, strict=True):
        for position, variant in enumerate(variants):
            values = ends[(ends.variant == variant) & (ends.quantity == label)].value
            look = plotting.style(variant)
            box = axes.boxplot(values, positions=[position], widths=0.55, showfliers=False, patch_artist=True)
            box["boxes"][0].set(facecolor=look["color"], alpha=0.35)
            axes.scatter(np.linspace(-0.13, 0.13, len(values)) + position, values, s=16, marker=look["marker"],
                         color=look["color"], zorder=3)  # fmt: skip
        axes.set(title=label, xticks=range(len(variants)), xticklabels=variants)
        axes.tick_params(axis="x", rotation=30)
        if kind == "measures":
            axes.set_yscale("log")
            readable(axes.yaxis)
    for axes in drawn[:: 2 if len(drawn) == 4 else 3]:
        axes.set_ylabel(f"final {said}")
    return plotting.publish(
        figure, name,
        alt=f"Box plots of the final {said}, with every seed as a point, for "
        f"{_listed(map(plotting.words, variants))}; one panel each for {_listed(quantities)}.",
        caption=caption or f"Final {said} of every seed"
        + "".join(f", {label}: {q}" for label, q in quantities.items() if q not in (label, "total"))
        + ". Boxes: quartiles and median; whiskers: 1.5 times the box.",
        data=ends, provenance=provenance or experiment.facts(),
    )  # fmt: skip


def paths(
    experiment: Experiment, main: Sequence[str], others: Sequence[str] = (), *, name: str,
    constant: str = "end_to_end/lower", caption: str = "", provenance: Mapping[str, Any] | None = None,
) -> plotting.Figure:  # fmt: skip
    """Training as a path in the plane of test loss and constant; ``main`` in colour, ``others`` grey."""
    figure, axes = plt.subplots(figsize=(7, 4.2))
    rows, ends = [], {}
    for variant in [*(v for v in others if v not in main), *main]:
        pairs = [experiment.series(variant, kind, q) for kind, q in (("test", "total"), ("measures", constant))]
        means = [statistics.geometric_band(pair)["mean"] for pair in pairs]
        path = pd.concat(means, axis=1, keys=["loss", "constant"], join="inner")
        rows.append(path.rename_axis("epoch").reset_index().assign(variant=variant))
        look, chief = plotting.style(variant), variant in main
        colour = look["color"] if chief else plotting.NEUTRAL
        line = axes.plot(path.loss, path.constant, color=colour, linestyle=look["linestyle"], alpha=1 if chief else 0.5,
                         linewidth=2 if chief else 1)[0]  # fmt: skip
        axes.plot(path.loss.tail(1), path.constant.tail(1), marker=look["marker"], color=colour,
                  markersize=7 if chief else 4, linestyle="none")  # fmt: skip
        if chief:
            ends[plotting.words(variant)] = line
    axes.set(xscale="log", yscale="log", xlabel="test loss (better to the right)")
    axes.set_ylabel("Lipschitz constant of the whole\n(lower bound)")
    axes.invert_xaxis()
    readable(axes.xaxis)
    label_ends(axes, ends)
    return plotting.publish(
        figure, name,
        alt="Paths of training in the plane of test loss and Lipschitz constant, both on log scales, for "
        f"{_listed(ends)}; a marker shows where each ended.",
        caption=caption or "Training as a path, from the left; markers are the ends."
        + " Grey: all the others." * bool(set(others) - set(main))
        + " Where two paths share a loss, compare their heights.",
        data=pd.concat(rows, ignore_index=True), provenance=provenance or experiment.facts(),
    )  # fmt: skip


def forest(
    comparisons: Mapping[str, Mapping[str, Comparison]], *, name: str, xlabel: str, alt: str, caption: str,
    labels: Mapping[str, str] | None = None,
    printed: Mapping[str, Mapping[str, tuple[float, float, float]]] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> plotting.Figure:  # fmt: skip
    """Ratios with 95 % intervals: one panel per quantity, one row per variant; a dashed line marks equality.

    ``comparisons`` maps a panel's title to comparisons by variant, on the scale ``"log10 ratio"``. ``printed`` holds,
    by the same names, ratios with low and high ends that a paper gives; they are drawn below ours, as open diamonds.
    """
    keys = ("ratio", "low", "high")
    rows = [
        {"quantity": title, "variant": v, "source": "ours", "n": c.n, **dict(zip(keys, c.ratio(), strict=True))}
        for title, by_variant in comparisons.items() for v, c in by_variant.items()
    ] + [
        {"quantity": title, "variant": v, "source": "paper", **dict(zip(keys, values, strict=True))}
        for title, by_variant in (printed or {}).items() for v, values in by_variant.items()
    ]  # fmt: skip
    variants = list(dict.fromkeys(row["variant"] for row in rows))[::-1]
    size = (8.2 if len(comparisons) > 1 else 7, 1.1 + (0.5 if printed else 0.32) * len(variants))
    figure, drawn = plt.subplots(1, len(comparisons), figsize=size, sharey=True, squeeze=False)
    for axes, title in zip(drawn.flat, comparisons, strict=True):
        for row in (row for row in rows if row["quantity"] == title):
            look, y = plotting.style(row["variant"]), variants.index(row["variant"])
            if row["source"] == "paper":
                look, y = {"color": plotting.PAPER, "marker": "D"}, y - 0.32
            ours = row["source"] == "ours"
            axes.plot([row["low"], row["high"]], [y, y], color=look["color"], linewidth=2.5 if ours else 1.2)
            axes.plot(row["ratio"], y, marker=look["marker"], color=look["color"], markersize=7 if ours else 5,
                      fillstyle="full" if ours else "none")  # fmt: skip
        axes.axvline(1, color=plotting.NEUTRAL, linewidth=1.2, linestyle="--")
        axes.set(xscale="log", title=title, xlabel=xlabel, yticks=range(len(variants)))
        axes.set_ylim(-0.6, len(variants) - 0.4)
        axes.set_yticklabels([(labels or {}).get(v, plotting.words(v)) for v in variants])
        readable(axes.xaxis)
    return plotting.publish(figure, name, alt=alt, caption=caption, data=pd.DataFrame(rows), provenance=provenance)


def reconstructions(
    models: Mapping[str, Any], clean: Mapping[str, Tensor], damaged: Mapping[str, Tensor], *, name: str,
    modality: str = "camera", caption: str = "", provenance: Mapping[str, Any] | None = None,
) -> plotting.Figure:  # fmt: skip
    """Pictures as they were, as the models saw them, and as each model restores them; below, the absolute errors.

    Parameters
    ----------
    models : by variant, trained models that map a batch to its reconstruction.
    clean, damaged : the same few samples, all modalities; ``modality`` is one of pictures (N, 3, H, W) in [0, 1].

    Errors are means over the colours, pixel by pixel, all on one scale from zero to the largest; the number below a
    map is the picture's mean squared error. Raises ``ValueError`` where there is no picture, or shapes differ.
    """
    truth, seen = clean.get(modality), damaged.get(modality)
    if truth is None or seen is None or truth.ndim != 4 or truth.shape != seen.shape or not len(truth):
        raise ValueError(f"reconstructions wants pictures {modality!r} (N, 3, H, W), clean and damaged, of one shape")
    with torch.no_grad():
        restored = {variant: model(dict(damaged))[modality] for variant, model in models.items()}
    errors = {variant: (picture - truth).abs().mean(1) for variant, picture in restored.items()}
    top = max(float(error.max()) for error in errors.values())
    rows, columns = len(truth), 2 + len(models)
    figure, grid = plt.subplots(2 * rows, columns, figsize=(8.2, 2.7 * rows * 5 / columns), squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    measured = []
    for index in range(rows):
        pictures, maps = grid[2 * index], grid[2 * index + 1]
        for axes, picture in zip(pictures, [truth, seen, *restored.values()], strict=True):
            axes.imshow(picture[index].clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="none")
        maps[0].set_visible(False)
        maps[1].set_visible(False)
        for axes, (variant, error) in zip(maps[2:], errors.items(), strict=True):
            shown = axes.imshow(error[index].numpy(), vmin=0, vmax=top, cmap="cividis", interpolation="none")
            squared = float((restored[variant][index] - truth[index]).square().mean())
            axes.set_xlabel(f"{squared:.2g}", fontsize=9, labelpad=2)
            measured.append({
                "sample": index, "variant": variant, "mean squared error": squared,
                "mean absolute error": float(error[index].mean()), "largest absolute error": float(error[index].max()),
            })  # fmt: skip
    for axes, title in zip(grid[0], ["original", "damaged input", *map(plotting.words, models)], strict=True):
        axes.set_title(title, fontsize=10, loc="center")
    bar = figure.colorbar(shown, ax=grid.ravel().tolist(), shrink=0.6, aspect=30)
    bar.set_label("absolute error")
    return plotting.publish(
        figure, name,
        alt=f"{rows} pictures: original, damaged input, and what {_listed(map(plotting.words, models))} make of it; "
        "below each restored picture the map of its absolute error, all on one scale.",
        caption=caption or "Held-out pictures. Below each restored picture its error, pixel by pixel, all maps on one "
        "scale; the number is the picture's mean squared error.",
        data=pd.DataFrame(measured), provenance=provenance,
    )  # fmt: skip


def _line_style(variant: str) -> dict[str, Any]:
    return {key: value for key, value in plotting.style(variant).items() if key != "marker"}


def _room(axes: Any, experiment: Experiment, names: Iterable[str]) -> None:
    """Space for names right of the last epoch, by the width of a panel and of bold letters, in inches."""
    epochs = experiment.config["epochs"]
    panel = axes.figure.get_figwidth() / axes.get_gridspec().ncols - 0.6
    name = min(0.1 + 0.088 * max(map(len, names)), 0.6 * panel)
    axes.set_xlim(0, epochs * panel / (panel - name))
    axes.set_xticks([0, epochs // 2, epochs])


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
