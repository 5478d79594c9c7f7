"""The ledger's HTML: complete without scripts, escaped, labelled."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mmfusion import ledger as page
from mmfusion.claims import Check, Claim, ClaimError, Ledger
from mmfusion.verdicts import Verdict

ROOT = Path(__file__).resolve().parents[1]


class Elements(HTMLParser):
    """All start tags with their attributes, and all text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def verdicts() -> dict[str, Verdict]:
    ledger = Ledger([
        Claim("Y-1", "mathematical", "§ 1 & 2", "First", "$a<b$ \"quoted\" <b>", "d", reported="$4M$"),
        Claim("Z-1", "arithmetic", "§ 3", "Second", "s", "d", depends=("Y-1",)),
        Claim("Z-2", "empirical", "§ 4", "Third", "s", "d"),
    ])  # fmt: skip
    check = Check("page", claims=ledger)
    check.counterexample("Y-1", "an instance", claimed=1, observed=2)
    check.correction("Y-1", "$a\\le b$", {"step": True})
    check.recompute("Z-1", {"a figure": True})
    return {name: check.verdict(name) for name in ledger.claims}


def test_table_has_one_row_per_claim(verdicts: dict[str, Verdict]) -> None:
    found = Elements(page.table(verdicts, {"Y-1": "p.html#claim-Y-1"}))
    rows = [row for row in found.all("tr") if "data-claim" in row]
    assert [row["data-claim"] for row in rows] == ["Y-1", "Z-1", "Z-2"]
    assert [row["data-verdict"] for row in rows] == ["refuted", "consistent", "not yet examined"]
    assert [row["data-paper"] for row in rows] == ["Y", "Z", "Z"]
    assert [row["id"] for row in rows] == ["row-Y-1", "row-Z-1", "row-Z-2"]
    assert [link["href"] for link in found.all("a")] == ["p.html#claim-Y-1"]
    assert "hidden" not in rows[0]
    for words in (r"\(a<b\)", '"quoted" <b>', r"What holds. \(a\le b\)", r"Reported: \(4M\)", "✕ refuted", "○ not yet"):
        assert words in found.text
    assert "first" in rows[0]["data-words"] and "a<b" in rows[0]["data-words"]


def test_filters_offer_what_there_is_and_are_labelled(verdicts: dict[str, Verdict]) -> None:
    found = Elements(page.filters(verdicts))
    (form,) = found.all("form")
    assert "hidden" in form
    values = [option["value"] for option in found.all("option")]
    assert values == ["", "Y", "Z", "", "mathematical", "empirical", "arithmetic", "", "refuted", "consistent",
                      "not yet examined"]  # fmt: skip
    controls = {control["id"] for tag in ("select", "input") for control in found.all(tag)}
    assert {label["for"] for label in found.all("label")} == controls
    assert found.all("output")[0]["aria-live"] == "polite"
    assert "3 claims" in found.text


def test_counts(verdicts: dict[str, Verdict]) -> None:
    found = Elements(page.counts(verdicts))
    assert found.text == "1 refuted1 consistent1 not yet examined"


def test_dependencies_read_both_ways(verdicts: dict[str, Verdict]) -> None:
    text = page.dependencies(verdicts)
    found = Elements(text)
    jumps = [link["href"] for link in found.all("a")]
    assert jumps == ["#row-Y-1", "#row-Z-1", "#row-Z-1", "#row-Y-1", "#row-Z-2"]
    assert text.startswith("<details")
    assert "–" in found.text


def test_part_of_a_ledger_needs_no_claim_outside_it(verdicts: dict[str, Verdict]) -> None:
    part = {"Z-1": verdicts["Z-1"]}
    assert "Y-1" not in page.dependencies(part)
    assert len(Elements(page.table(part, {})).all("tr")) == 2


TOPICS = {"second": "Two", "first": "One", None: "Later"}


def with_pages() -> dict[str, Claim]:
    return {
        name: Claim(name, "mathematical", "§", "t", "s", "d", notebook=page)
        for name, page in (("Y-1", None), ("Y-2", "first"), ("Z-1", "second"), ("Y-3", "first"))
    }


def test_bands_follow_the_topics() -> None:
    assert list(page.bands(with_pages(), TOPICS).items()) == [
        ("Z-1", "Two"), ("Y-2", "One"), ("Y-3", "One"), ("Y-1", "Later"),
    ]  # fmt: skip


def test_a_page_without_a_topic_is_named() -> None:
    with pytest.raises(ClaimError, match="no topic for the page first, which Y-2, Y-3 name: add it to TOPICS"):
        page.bands(with_pages(), {"second": "Two", None: "Later"})


def test_the_ledger_page_has_a_topic_for_every_page() -> None:
    """TOPICS of book/ledger.md against claims.yml, without running the page."""
    text = (ROOT / "book/ledger.md").read_text(encoding="utf-8")
    topics = ast.literal_eval(re.search(r"^TOPICS = (\{.*?^\})", text, re.M | re.S)[1])
    assert set(page.bands(Ledger.load(ROOT / "claims.yml").claims, topics).values()) <= set(topics.values())


def test_tally_adds_up(verdicts: dict[str, Verdict]) -> None:
    """A row for each kind and each of its verdicts, a column for each paper, and totals that are the sums."""
    text = page.tally(verdicts)
    rows = [Elements(f"<tr>{row}").text for row in text.split("<tr>")]
    assert rows[1:] == [
        "Kind and verdictYZall", "mathematical1·1", "✕ refuted1·1", "empirical·11", "○ not yet examined·11",
        "arithmetic·11", "✓ consistent·11", "all claims123",
    ]  # fmt: skip
    links = [link["href"] for link in Elements(text).all("a")]
    assert links[:2] == ["?paper=Y&kind=mathematical#all-claims", "?kind=mathematical#all-claims"]
    assert links[-1] == "#all-claims"
    assert "?paper=Z&kind=empirical&verdict=not+yet+examined#all-claims" in links


def test_a_graph_for_each_paper_with_its_table(verdicts: dict[str, Verdict]) -> None:
    topics = {"Z-2": "T", "Y-1": "T", "Z-1": "U"}
    text = page.graphs(verdicts, topics, {"Y-1": "p.html#claim-Y-1"}, {"Y": "y's & z's", "Z": "zeds", "W": "none"})
    found = Elements(text)
    assert [h["id"] for h in found.all("h3")] == ["graph-y", "graph-z"]
    assert [link["href"] for link in found.all("a")][:2] == ["#graph-y", "#graph-z"]
    regions = [box for box in found.all("div") if box.get("role") == "region"]
    assert [box["tabindex"] for box in regions] == ["0", "0"]
    drawn = [Elements(part).tags for part in text.split("<h3")[1:]]
    assert [sorted(tag["data-node"] for _, tag in tags if "data-node" in tag) for tags in drawn] == [
        ["Y-1"], ["Z-1", "Z-2"],
    ]  # fmt: skip
    assert text.count("<details") == text.count("<svg") == 2
    assert "Paper Y: y's & z's" in found.text
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    with pytest.raises(ClaimError, match="no words for paper Z"):
        page.graphs(verdicts, topics, {}, {"Y": "y"})


def test_one_papers_table_names_what_lies_outside(verdicts: dict[str, Verdict]) -> None:
    found = Elements(page.dependencies(verdicts, "Z"))
    assert [link["href"] for link in found.all("a")] == ["#row-Z-1", "#row-Y-1", "#row-Z-2"]


def test_evidence_comes_from_the_claims_own_page_if_it_gave_any() -> None:
    claim = Claim("Y-1", "mathematical", "§", "t", "s", "d", notebook="own")
    there = ({"notebook": "other"}, {"notebook": "own"})
    assert page.evidence_link(Verdict(claim, "proved", evidence=there), "r") == "r/own.html#claim-Y-1"
    assert page.evidence_page(Verdict(claim, "proved", evidence=there[:1])) == "other"
    with pytest.raises(ClaimError, match="claim Y-1: no recorded evidence"):
        page.evidence_page(Verdict(claim, "not yet examined"))


def test_a_text_cannot_outlive_its_evidence(verdicts: dict[str, Verdict]) -> None:
    shown = page.supposed(verdicts, {"Z-1": ("consistent", "inconsistent"), "Y-1": "refuted"})
    assert [verdict.claim.id for verdict in shown] == ["Z-1", "Y-1"]
    with pytest.raises(ClaimError, match="supposes that Y-1 is proved or sharpened, the records say refuted"):
        page.supposed(verdicts, {"Y-1": ("proved", "sharpened")})
    with pytest.raises(ClaimError, match="supposes that Y-9 is proved, the records say no claim at all"):
        page.supposed(verdicts, {"Y-9": "proved"})


def test_only_a_preview_warns() -> None:
    """The smoke profile is announced above a page; what is published carries no banner."""
    assert "mean nothing" in page.preview_banner("smoke") and page.preview_banner("quick") == ""
