"""Figures of an experiment: what they show is what the records say, for two modalities and for three."""

import base64
import io
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from mmfusion import figures, plotting, statistics
from mmfusion.experiment import Experiment
from tests.made_up_runs import write_runs

MAIN = ["sum", "concat", "attention"]


@pytest.fixture(autouse=True)
def style():
    plotting.house_style()
    yield
    plt.close("all")


@pytest.fixture(params=[("camera", "sensor"), ("camera", "sensor", "signal")], ids=["two", "three"])
def experiment(request, tmp_path):
    write_runs(tmp_path, "try", [*MAIN, "concat-scaled"], modalities=request.param, level={"sum": 20.0},
               diverged={("concat", 1)})  # fmt: skip
    return Experiment.read(tmp_path, "try", [*MAIN, "concat-scaled"])


def csv(figure):
    data = figure.to_html().split("base64,")[-1].split('"')[0]
    return pd.read_csv(io.StringIO(base64.b64decode(data).decode()))


def kept(monkeypatch):
    """The Matplotlib figures that are published from now on."""
    found = []
    publish = plotting.publish

    def keep(figure, *arguments, **options):
        found.append(figure)
        return publish(figure, *arguments, **options)

    monkeypatch.setattr(plotting, "publish", keep)
    return found


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_curve_is_the_geometric_mean_with_its_band(experiment, monkeypatch):
    drawn = kept(monkeypatch)
    figure = figures.curves(experiment, MAIN, "end_to_end/lower", name="whole", ylabel="constant", reference=1.0)
    band = statistics.geometric_band(experiment.series("sum", "measures", "end_to_end/lower"))
    table = csv(figure)
    assert np.allclose(table[table.variant == "sum"]["mean"], band["mean"])
    assert np.allclose(table[table.variant == "sum"].low, band.low)
    assert (table[table.variant == "concat"].n == 5).all()
    (axes,) = drawn[0].axes
    assert sorted(texts(axes)) == ["attention", "concatenation", "sum"]
    lines = {line.get_color(): line for line in axes.lines}
    assert np.allclose(lines[plotting.COLOURS["sum"]].get_ydata(), band["mean"])
    assert figure.facts["seeds"] == list(experiment.seeds)


def test_losses_have_a_panel_per_modality_and_one_for_all(experiment, monkeypatch):
    drawn = kept(monkeypatch)
    table = csv(figures.losses(experiment, MAIN, "test", name="loss"))
    titles = [axes.get_title(loc="left") for axes in drawn[0].axes]
    assert titles == [*experiment.modalities, "together"]
    assert set(table.quantity) == {*experiment.modalities, "total"}
    with pytest.raises(KeyError):
        figures.losses(experiment, MAIN, "measures", name="loss")


def test_parts_name_every_encoder_and_decoder(experiment, monkeypatch):
    drawn = kept(monkeypatch)
    table = csv(figures.parts(experiment, MAIN, name="parts"))
    assert len(drawn[0].axes) == 3
    for axes in drawn[0].axes:
        assert set(texts(axes)) == {f"{m} {part}" for m in experiment.modalities for part in ("encoder", "decoder")}
    assert len(table.quantity.unique()) == 2 * len(experiment.modalities)


def test_names_at_line_ends_keep_apart():
    figure, axes = plt.subplots()
    axes.set_ylim(-1, 3)
    lines = {str(k): axes.plot([0, 1], [0, 1 + 1e-6 * k])[0] for k in range(4)}
    lines["none"] = axes.plot([], [])[0]
    figures.label_ends(axes, lines, gap=12)
    places = {text.get_text(): text.xyann[1] for text in axes.texts}
    assert "none" not in places
    assert np.all(np.diff([places[str(k)] for k in range(4)]) > 11.9)
    assert abs(sum(places.values())) < 1  # around their lines
    low = {str(k): axes.plot([0, 1], [0, 0])[0] for k in range(4)}
    for text in list(axes.texts):
        text.remove()
    axes.set_ylim(0, 1)
    figures.label_ends(axes, low)
    assert min(text.xyann[1] for text in axes.texts) > -0.1  # none falls out of the axes


def test_boxes_leave_diverged_seeds_out(experiment):
    table = csv(figures.boxes(experiment, MAIN, {"C": "camera", "all": "total"}, name="boxes"))
    counts = table.groupby(["variant", "quantity"]).size()
    assert counts["concat", "C"] == 5 and counts["sum", "C"] == 6
    assert math.isclose(table.query("variant == 'sum' and quantity == 'all' and seed == 2").value.item(),
                        experiment.at_end("sum", "test", "total")[2])  # fmt: skip


def test_boxes_of_constants(experiment, monkeypatch):
    drawn = kept(monkeypatch)
    names = {f"{m} encoder": f"encoder/{m}/lower" for m in experiment.modalities}
    table = csv(figures.boxes(experiment, MAIN, names, name="boxes", kind="measures"))
    assert set(table.quantity) == set(names)
    assert {axes.get_yscale() for axes in drawn[0].axes} == {"log"}


def test_paths_join_loss_and_constant_where_both_are_measured(experiment):
    table = csv(figures.paths(experiment, MAIN, experiment.variants, name="paths"))
    assert set(table.variant) == set(experiment.variants)
    assert list(table[table.variant == "sum"].epoch) == [0, 2, 4, 6]


def test_forest_shows_ratios(experiment):
    def ratio(variant):
        sides = [experiment.at_end(v, "measures", "end_to_end/lower") for v in (variant, "attention")]
        return statistics.paired("q", *sides, scale="log10 ratio")

    compared = {"constant": {v: ratio(v) for v in ("sum", "concat")}}
    table = csv(figures.forest(compared, name="forest", xlabel="ratio", alt="Ratios.", caption="Ratios."))
    assert table.set_index("variant").ratio["sum"] == pytest.approx(20, rel=0.1)
    assert (table.low < table.ratio).all() and (table.ratio < table.high).all()


def test_forest_shows_printed_ratios_beside_ours(experiment, monkeypatch):
    drawn = kept(monkeypatch)
    ends = [experiment.at_end(v, "test", "total") for v in ("sum", "attention")]
    compared = {"loss": {"sum": statistics.paired("q", *ends, scale="log10 ratio")}}
    words = {"xlabel": "ratio", "alt": "Ratios.", "caption": "Ratios."}
    table = csv(figures.forest(compared, name="forest", printed={"loss": {"sum": (1.5, 1.2, 1.9)}}, **words))
    assert list(table.source) == ["ours", "paper"] and list(table.ratio)[1] == 1.5
    dots = [line for line in drawn[0].axes[0].lines if line.get_marker() == "D"]
    assert [line.get_color() for line in dots] == [plotting.PAPER]
    assert dots[0].get_ydata()[0] < 0


def test_reconstructions_measure_every_picture_on_one_scale(monkeypatch):
    drawn = kept(monkeypatch)
    clean = {"camera": torch.rand(2, 3, 8, 8), "sensor": torch.rand(2, 4)}
    damaged = {"camera": clean["camera"] * 0, "sensor": clean["sensor"]}
    models = {
        "sum": lambda batch: {"camera": clean["camera"] + 0.1, "sensor": None},
        "attention": lambda batch: {"camera": clean["camera"] - batch["camera"] - 0.4, "sensor": None},
    }
    table = csv(figures.reconstructions(models, clean, damaged, name="pictures")).set_index(["variant", "sample"])
    assert np.allclose(table["mean squared error"]["sum"], 0.01)
    assert np.allclose(table["largest absolute error"]["attention"], 0.4)
    limits = {image.get_clim() for axes in drawn[0].axes[:-1] for image in axes.images if image.get_array().ndim == 2}
    assert len(limits) == 1
    assert limits.pop() == pytest.approx((0, 0.4))


@pytest.mark.parametrize(
    ("clean", "damaged"),
    [
        ({}, {}),
        ({"camera": torch.rand(2, 5)}, {"camera": torch.rand(2, 5)}),
        ({"camera": torch.rand(2, 3, 8, 8)}, {"camera": torch.rand(1, 3, 8, 8)}),
        ({"camera": torch.rand(0, 3, 8, 8)}, {"camera": torch.rand(0, 3, 8, 8)}),
    ],
)
def test_reconstructions_want_pictures(clean, damaged):
    with pytest.raises(ValueError, match="wants pictures 'camera'"):
        figures.reconstructions({"sum": dict}, clean, damaged, name="pictures")


@pytest.mark.parametrize(("count", "shown"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3))])
def test_panels(count, shown):
    figure, drawn = figures.panels(count)
    grid = drawn[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == shown
    assert sum(axes.get_visible() for axes in figure.axes) == count
