"""Published figures: words, numbers and origin travel with the picture, and many share one page."""

import base64
import io
import re
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion import plotting
from mmfusion.fusion import FUSIONS

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(str.strip)


@pytest.fixture(autouse=True)
def style():
    plotting.house_style()
    yield
    plt.close("all")


def simple(**options):
    fig, axes = plt.subplots()
    axes.plot([0, 1], [0, 1])
    return plotting.publish(fig, "simple", **{"alt": "A rising line.", **options})


def busy(name):
    """A figure with clip paths, markers, hatches, images, mathematics and every kind of ink."""
    fig, (left, right) = plt.subplots(1, 2)
    left.plot([0, 1, 2], [1, 3, 2], "o-", label="$\\alpha_1^2$")
    left.bar([0, 1], [1, 2], hatch="//", fill=False)
    left.set(title="Title", xlabel="$x$", ylabel="label")
    left.legend()
    left.annotate("words", (1, 1))
    right.scatter(*np.random.default_rng(0).normal(size=(2, 50)), rasterized=True)
    right.imshow(np.eye(3), extent=(-1, 1, -1, 1))
    right.boxplot([[1, 2, 3, 9]])
    return plotting.publish(fig, name, alt="Busy.")


def csv(figure):
    """The file behind the link, decoded."""
    found = re.findall(r'download="([^"]+)" href="data:text/csv;base64,([^"]+)"', figure.to_html())
    assert len(found) == 1
    return found[0][0], base64.b64decode(found[0][1]).decode()


def ids(markup):
    return re.findall(r'\bid="([^"]+)"', markup)


def test_ids_are_unique_on_a_page_and_every_reference_resolves():
    page = "".join(busy(name).to_html() for name in ("one", "two", "one-two"))
    known = ids(page)
    assert len(known) == len(set(known))
    targets = re.findall(r'xlink:href="#([^"]+)"|url\(#([^)]+)\)', page)
    assert len(targets) > 20
    assert {a or b for a, b in targets} <= set(known)


def test_svg_is_well_formed_and_reproducible():
    first, second = busy("busy").body, busy("busy").body
    assert first == second
    ElementTree.fromstring(first)
    assert "<metadata" not in first
    assert "<?xml" not in first


def test_ink_is_the_pages_text_colour_everywhere():
    svg = busy("busy").body
    assert plotting.INK not in svg
    assert svg.count("currentColor") > 20
    assert "#000000" not in svg
    assert "#ffffff" not in svg
    # Matplotlib leaves the fill out where it is black: each group of glyphs must name its own.
    root = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    words = [group for group in root.iter(f"{space}g") if re.match(r"busy-text_\d+$", group.get("id", ""))]
    assert len(words) > 10
    assert all("fill" in group.find(f"{space}g").get("style", "") for group in words)


def test_no_colour_of_the_palette_is_ink():
    colours = {*plotting.COLOURS.values(), plotting.NEUTRAL, plotting.PAPER, plotting.OURS}
    assert plotting.INK not in colours


def test_methods_differ_by_more_than_colour():
    for table in (plotting.COLOURS, plotting.MARKERS, plotting.DASHES):
        assert set(table) == set(plotting.COLOURS)
    looks = [(plotting.MARKERS[m], str(plotting.DASHES[m])) for m in ("sum", "concat", "attention")]
    assert len({marker for marker, _ in looks}) == 3
    assert len({dash for _, dash in looks}) == 3


def test_every_fusion_has_a_look_of_its_own_and_a_name():
    for table in (plotting.COLOURS, plotting.MARKERS, plotting.DASHES, plotting.WORDS):
        assert set(FUSIONS) <= set(table)
    looks = [(plotting.COLOURS[name], plotting.MARKERS[name]) for name in FUSIONS]
    assert len(set(looks)) == len(looks)
    assert len({plotting.WORDS[name] for name in FUSIONS}) == len(FUSIONS)
    assert plotting.words("concat-scalars-lr-3e-4") == "concatenation × scalars lr-3e-4"
    assert plotting.style("concat-scalars-lr-3e-4")["marker"] == plotting.MARKERS["concat-scalars"]


@pytest.mark.parametrize("page", ["#ffffff", "#121212"])
def test_palette_reads_on_light_and_dark_pages(page):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in {*plotting.COLOURS.values(), plotting.NEUTRAL}:
        high, low = sorted((luminance(colour), luminance(page)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 3, colour


@pytest.mark.parametrize("alt", ["", "   ", "\n"])
def test_missing_alt_text_is_refused(alt):
    with pytest.raises(ValueError, match="figure simple: alt text is empty"):
        simple(alt=alt)


@pytest.mark.parametrize("name", ["", "Upper", "two words", "a--b", "-a", "a-", "a_b", 'x"onload="', "é", "a/b", "a\n"])
def test_names_that_do_not_fit_are_refused(name):
    with pytest.raises(ValueError, match="wanted lower-case letters, digits and single dashes"):
        plotting.publish(plt.figure(), name, alt="Nothing.")
    with pytest.raises(ValueError, match="wanted lower-case letters, digits and single dashes"):
        plotting.table(pd.DataFrame({"a": [1]}), name, caption="A table.")


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="figure simple: data must be columns of equal length"):
        simple(data={"x": [1, 2], "y": [1]})


@settings(deadline=None, max_examples=15)
@given(alt=WORDS)
def test_any_alt_text_arrives_whole(alt):
    root = ElementTree.fromstring(simple(alt=alt).body)
    assert root.get("aria-label") == " ".join(alt.split())
    assert root.get("role") == "img"


@pytest.mark.parametrize("alt", [r"Bound $\sqrt{d}$ \1 \g<0>", 'Says "no" & <b>goes</b>', "two\nlines"])
def test_alt_text_with_backslashes_quotes_and_tags(alt):
    figure = simple(alt=alt)
    assert ElementTree.fromstring(figure.body).get("aria-label") == " ".join(alt.split())
    assert figure._repr_mimebundle_()["text/plain"] == f"Figure simple: {alt}"


@settings(deadline=None, max_examples=15)
@given(
    numbers=st.lists(st.floats(allow_infinity=False), min_size=1, max_size=5),
    words=st.text("aé,\";<& $\\'", min_size=1, max_size=8).filter(str.strip),
)
def test_csv_round_trip(numbers, words):
    name, text = csv(simple(data={"x": numbers, "words, and more": [words] * len(numbers)}))
    assert name == "simple.csv"
    back = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values={"x": ""}, float_precision="round_trip")
    np.testing.assert_array_equal(back["x"].to_numpy(float), numbers)
    assert list(back["words, and more"]) == [words] * len(numbers)


def test_no_data_no_link():
    assert "csv" not in simple().to_html()


def test_caption_and_provenance_are_escaped():
    html = simple(caption="Bound $a<b$ <script>", provenance={"data": "<x>", "seeds": [0, 1]}).to_html()
    assert "<script>" not in html
    assert r"\(a&lt;b\) &lt;script&gt;" in html
    assert "data: &lt;x&gt; · seeds: 0, 1 · commit: " in html
    assert "numpy: " not in html
    ElementTree.fromstring(html)


def test_publishing_closes_the_figure_and_keeps_the_style():
    before = dict(plt.rcParams)
    simple()
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == before


def test_refused_figures_leave_nothing_behind():
    fig = plt.figure()
    with pytest.raises(ValueError, match="alt text"):
        plotting.publish(fig, "x", alt="")
    assert plotting.publish(fig, "x", alt="Now with words.").alt == "Now with words."


def test_table_rounds_on_the_page_and_not_in_the_file():
    frame = pd.DataFrame({"$n$": [2, 3], "value <x>": [1 / 3, 2e-9], "text": ["$a<b$", "`code`"], "ok": [True, False]})
    figure = plotting.table(frame, "numbers", caption="Some $x$.")
    html = figure.to_html()
    ElementTree.fromstring(html)
    cells = re.findall(r"<td>(.*?)</td>", html)
    assert cells == ["2", "0.3333", r"\(a&lt;b\)", "True", "3", "2e-09", "<code>code</code>", "False"]
    assert re.findall(r'<th scope="col">(.*?)</th>', html) == [r"\(n\)", "value &lt;x&gt;", "text", "ok"]
    back = pd.read_csv(io.StringIO(csv(figure)[1]), float_precision="round_trip")
    pd.testing.assert_frame_equal(back, frame)
    assert "0.33" in plotting.table(frame, "numbers", caption="c", precision=2).body
    with pytest.raises(ValueError, match="table numbers: caption is empty"):
        plotting.table(frame, "numbers", caption=" ")


def test_labels_sit_beside_the_line():
    fig, axes = plt.subplots()
    (line,) = axes.plot([1, 2, 5], [4, 3, 7])
    plotting.label_line(axes, line, "end")
    plotting.label_line(axes, line, "start", offset=(0, 4), at=0)
    end, start = axes.texts
    assert (end.xy, end.get_text(), end.get_color()) == ((5, 7), "end", line.get_color())
    assert (start.xy, start.xyann) == ((1, 4), (0, 4))


def test_house_style_starts_from_a_clean_slate():
    plt.rcParams["axes.grid"] = False
    plt.rcParams["font.size"] = 3
    plotting.house_style()
    assert plt.rcParams["axes.grid"]
    assert plt.rcParams["text.color"] == plotting.INK
    assert plt.rcParams["font.size"] == 10.5
