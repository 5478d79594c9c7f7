"""The dependency graph: layers, places, and what the drawing says without colour."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfusion import graph
from mmfusion.claims import Check, Claim, Ledger

SVG = "{http://www.w3.org/2000/svg}"


def chain(**depends: str) -> dict[str, list[str]]:
    return {name: needs.split() for name, needs in depends.items()}


def test_depth_is_the_longest_chain_below() -> None:
    assert graph.depths(chain(a="", b="a", c="a b", d="", e="c d")) == {"a": 0, "d": 0, "b": 1, "c": 2, "e": 3}


def test_circles_and_unknown_nodes_are_refused() -> None:
    with pytest.raises(ValueError, match="a circle among a, b"):
        graph.depths(chain(a="b", b="a"))
    with pytest.raises(ValueError, match="unknown: z"):
        graph.depths(chain(a="z"))
    with pytest.raises(ValueError, match="no group for b"):
        graph.layout(chain(a="", b="a"), {"a": "one"})


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, str]]:
    count = draw(st.integers(1, 25))
    names = [f"n{i}" for i in range(count)]
    depends = {
        name: draw(st.lists(st.sampled_from(names[:i]), unique=True, max_size=4)) if i else []
        for i, name in enumerate(names)
    }
    return depends, {name: draw(st.sampled_from("xyz")) for name in names}


@given(graphs())
def test_boxes_do_not_meet_and_edges_run_to_the_right(case: tuple[dict[str, list[str]], dict[str, str]]) -> None:
    depends, groups = case
    plan = graph.layout(depends, groups)
    assert len(set(plan.places.values())) == len(depends)
    assert all(plan.places[need][0] + graph.BOX[0] < plan.places[name][0] for name in depends for need in depends[name])
    bands = {label: (top, top + height) for label, top, height in plan.bands}
    for name, (x, y) in plan.places.items():
        low, high = bands[groups[name]]
        assert low < y and y + graph.BOX[1] <= high
        assert 0 <= x and x + graph.BOX[0] <= plan.width
    edges = sorted(bands.values())
    assert all(first[1] < second[0] for first, second in zip(edges, edges[1:], strict=False))
    assert edges[-1][1] <= plan.height


@pytest.fixture
def drawn() -> ET.Element:
    ledger = Ledger([
        Claim("Z-1", "mathematical", "§ 1", "A definition", "s", "d"),
        Claim("Z-2", "mathematical", "§ 2", "A bound that is <sharp> & has a very long title indeed, too long for two "
              "lines", "s", "d", depends=("Z-1",)),
        Claim("Z-3", "mathematical", "§ 3", "A remark", "s", "d", depends=("Z-1", "Z-2")),
    ])  # fmt: skip
    check = Check("page", claims=ledger)
    check.counterexample("Z-1", "an instance", claimed=1, observed=2)
    check.slip("Z-2", printed="p", intended="i")
    check.proof("Z-2", {"step": True})
    verdicts = {name: check.verdict(name) for name in ledger.claims}
    return ET.fromstring(
        graph.svg(verdicts, dict.fromkeys(verdicts, "Topic"), {"Z-1": "page.html#claim-Z-1"}, "a graph")
    )


def nodes(drawn: ET.Element) -> dict[str, ET.Element]:
    return {node.attrib["data-node"]: node for node in drawn.iter() if "data-node" in node.attrib}


def test_drawing_has_every_claim_and_every_edge(drawn: ET.Element) -> None:
    assert set(nodes(drawn)) == {"Z-1", "Z-2", "Z-3"}
    edges = {
        (path.attrib["data-from"], path.attrib["data-to"]) for path in drawn.iter(f"{SVG}path") if path.get("data-to")
    }
    assert edges == {("Z-1", "Z-2"), ("Z-1", "Z-3"), ("Z-2", "Z-3")}
    assert drawn.attrib["aria-label"] == "a graph"
    assert "Topic" in [text.text for text in drawn.iter(f"{SVG}text")]


def test_verdicts_show_without_colour(drawn: ET.Element) -> None:
    found = nodes(drawn)
    words = {name: "".join(node.itertext()) for name, node in found.items()}
    assert "✕ refuted" in words["Z-1"]
    assert "✎ slip (proved)" in words["Z-2"]
    assert "○ not yet examined" in words["Z-3"]
    corners = {name: node.find(f"{SVG}rect").attrib["rx"] for name, node in found.items()}
    assert corners["Z-1"] != corners["Z-2"] == corners["Z-3"]


def test_nodes_are_named_and_lead_to_their_evidence(drawn: ET.Element) -> None:
    found = nodes(drawn)
    assert (found["Z-1"].tag, found["Z-1"].attrib["href"]) == (f"{SVG}a", "page.html#claim-Z-1")
    assert found["Z-2"].tag == f"{SVG}g"
    assert found["Z-3"].attrib["aria-label"] == "Z-3, not yet examined: A remark. Rests on Z-1, Z-2."
    assert "…" in "".join(found["Z-2"].find(f"{SVG}text[2]").itertext())
    assert "too long for two lines" in found["Z-2"].find(f"{SVG}title").text


def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no claims to draw"):
        graph.svg({}, {}, {}, "a graph")
    ledger = Ledger([Claim("Z-1", "mathematical", "§ 1", "t", "s", "d")])
    verdict = Check("page", claims=ledger).verdict("Z-1")
    with pytest.raises(ValueError, match="label is empty"):
        graph.svg({"Z-1": verdict}, {"Z-1": "x"}, {}, " ")


def test_two_graphs_on_one_page_share_no_id() -> None:
    ledger = Ledger([
        Claim("Z-1", "mathematical", "§ 1", "t", "s", "d"),
        Claim("Z-2", "mathematical", "§ 2", "t", "s", "d", depends=("Z-1",)),
    ])  # fmt: skip
    verdicts = {name: Check("page", claims=ledger).verdict(name) for name in ledger.claims}
    for name in ("a", "b"):
        root = ET.fromstring(graph.svg(verdicts, dict.fromkeys(verdicts, "x"), {}, "a graph", name=name))
        assert [element.attrib["id"] for element in root.iter() if "id" in element.attrib] == [f"claim-arrow-{name}"]
        (edge,) = (path for path in root.iter(f"{SVG}path") if path.get("data-to"))
        assert edge.attrib["marker-end"] == f"url(#claim-arrow-{name})"


def test_a_band_that_begins_further_right_says_so() -> None:
    ledger = Ledger([
        Claim("Z-1", "mathematical", "§ 1", "t", "s", "d"),
        Claim("Z-2", "mathematical", "§ 2", "t", "s", "d", depends=("Z-1",)),
    ])  # fmt: skip
    verdicts = {name: Check("page", claims=ledger).verdict(name) for name in ledger.claims}
    root = ET.fromstring(graph.svg(verdicts, {"Z-1": "first", "Z-2": "second"}, {}, "a graph"))
    names = ["".join(text.itertext()) for text in root.iter(f"{SVG}text") if text.get("class") == "band-name"]
    assert names == ["first", "secondfurther right →"]
