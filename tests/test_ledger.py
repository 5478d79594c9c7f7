"""The ledger's HTML: complete without scripts, escaped, labelled."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from mmfusion import ledger as page
from mmfusion.claims import Check, Claim, Ledger
from mmfusion.verdicts import Verdict


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
