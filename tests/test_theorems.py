"""Corrected theorems: which claims become one, how they are numbered, what the page says of each."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from mmfusion import theorems
from mmfusion.claims import Claim, ClaimError, Ledger
from mmfusion.verdicts import Verdict, derive

TOPICS = {"early": "First <topic>", "late": "Second topic"}


def item(claim: str, kind: str, page: str = "early", **details) -> dict:
    """One recorded piece of evidence."""
    return {"claim": claim, "type": kind, "ok": True, "notebook": page, **details}


def wrong(claim: str, page: str = "early") -> dict:
    return item(claim, "counterexample", page, description="d", claimed=1.0, observed=2.0, relation="<=")


def corrected(claim: str, text: str, page: str = "early") -> dict:
    return item(claim, "correction", page, steps=["s"], broken=[], statement=text)


def proof(claim: str, page: str = "early", **details) -> dict:
    return item(claim, "proof", page, steps=["s"], broken=[], **details)


EVIDENCE = [
    wrong("B-3", "late"), corrected("B-3", "$a\\le b$, sharp", "late"),
    wrong("B-1"), corrected("B-1", "One correction."),
    wrong("B-2"), corrected("B-2", "One correction."),
    wrong("B-4"),
    proof("B-5"),
    proof("B-6"),
    item("B-7", "assumption", assumption="$c>0$", claimed=1.0, observed=2.0, relation="<=", steps=["s"], broken=[]),
    item("B-8", "slip", printed="$x$", intended="$y$"), proof("B-8", statement="y holds"),
    item("B-9", "slip", printed="$p<q$", intended="$q<p$"), proof("B-9"),
    {**corrected("B-10", "never"), "ok": False}, wrong("B-10"),
    item("B-11", "search", worst=1.0, bound=2.0, starts=3, statement="never"),
    item("B-12", "recompute", figures={"f": {"agrees": False}}, statement="never"),
    wrong("A-1"), corrected("A-1", "Another"),
]  # fmt: skip
OURS = "remark (ours, not in the paper)"


@pytest.fixture
def verdicts() -> dict[str, Verdict]:
    ledger = Ledger(
        Claim(name, kind, where, f"Title {name}", said, "d", notebook=page, depends=depends)
        for name, kind, where, said, page, depends in [
            ("B-3", "mathematical", "§ 3", "three", "late", ("B-1", "B-5")),
            ("B-1", "mathematical", "§ 1 & 2", "$a<b$", "early", ()),
            ("B-2", "mathematical", "§ 2", "two", "early", ("B-1", "B-9")),
            ("B-4", "mathematical", "§ 4", "four", "early", ()),
            ("B-5", "mathematical", "§ 5", "five", "early", ()),
            ("B-6", "mathematical", OURS, "Ours: six holds", "early", ()),
            ("B-7", "mathematical", "§ 7", "seven", "early", ()),
            ("B-8", "mathematical", "§ 8", "eight", "early", ()),
            ("B-9", "mathematical", "§ 9", "nine", "early", ()),
            ("B-10", "mathematical", "§ 10", "ten", "early", ()),
            ("B-11", "mathematical", OURS, "eleven", "early", ()),
            ("B-12", "arithmetic", "§ 12", "twelve", "early", ()),
            ("A-1", "mathematical", "§ 1", "one", "early", ()),
        ]
    )
    return {
        name: derive(claim, [entry for entry in EVIDENCE if entry["claim"] == name])
        for name, claim in ledger.claims.items()
    }


class Elements(HTMLParser):
    """All ids, all links and all text."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.ids += [values["id"]] if values.get("id") else []
        self.links += [values["href"]] if values.get("href") else []

    def handle_data(self, data: str) -> None:
        self.text += data


def test_only_what_is_proved_and_not_the_papers_becomes_a_theorem(verdicts: dict[str, Verdict]) -> None:
    """Refuted without correction, failed check, search, arithmetic, true as printed: none of them does."""
    found = {name: theorems.statement(verdict) for name, verdict in verdicts.items()}
    assert {name for name, text in found.items() if text} == {"A-1", "B-1", "B-2", "B-3", "B-6", "B-7", "B-8"}
    assert found["B-3"] == "$a\\le b$, sharp."
    assert found["B-6"] == "Six holds."
    assert found["B-7"] == "seven. This holds under an assumption: $c>0$."
    assert found["B-8"] == "y holds."
    assert [verdicts[name].label for name in ("B-4", "B-10", "B-11")] == ["refuted", "check failed", "corroborated"]


def test_a_claim_is_ours_where_its_place_says_so() -> None:
    places = {OURS: True, "§ 3 (our addition)": True, "§ 3 (called a hypothesis)": False, "hours § 3": False}
    for where, ours in places.items():
        assert Claim("B-1", "mathematical", where, "t", "s", "d").ours is ours


def test_numbers_are_unique_and_in_the_order_of_papers_topics_and_claims(verdicts: dict[str, Verdict]) -> None:
    found = theorems.collect(verdicts, TOPICS)
    assert [(t.number, [v.claim.id for v in t.verdicts]) for t in found] == [
        ("A.1", ["A-1"]), ("B.1", ["B-1", "B-2"]), ("B.2", ["B-6"]), ("B.3", ["B-7"]), ("B.4", ["B-8"]),
        ("B.5", ["B-3"]),
    ]  # fmt: skip
    assert [t.topic for t in found if t.number in ("B.1", "B.5")] == ["First <topic>", "Second topic"]
    turned = theorems.collect(verdicts, dict(reversed(TOPICS.items())))
    assert [t.number for t in turned if t.anchor == "theorem-B-3"] == ["B.1"]
    assert len({t.number for t in turned}) == len({t.anchor for t in turned}) == len(turned) == 6


def test_evidence_from_a_page_without_a_heading_is_an_error(verdicts: dict[str, Verdict]) -> None:
    with pytest.raises(ClaimError, match="no heading for the page late, which corrects B-3: is it in the table"):
        theorems.collect(verdicts, {"early": "First"})
    with pytest.raises(ClaimError, match="no theorem on paper C"):
        theorems.section(theorems.collect(verdicts, TOPICS), "C")
    with pytest.raises(ClaimError, match="no theorem on paper C"):
        theorems.contents(theorems.collect(verdicts, TOPICS), "C")


def test_status_says_that_something_takes_the_place(verdicts: dict[str, Verdict]) -> None:
    found = {name: theorems.status(verdicts[name]) for name in ("B-1", "B-6", "B-7", "B-8")}
    assert found == {
        "B-1": "refuted, and corrected", "B-6": "ours, proved", "B-7": "needs an assumption",
        "B-8": "slip; as intended: proved",
    }  # fmt: skip


def test_contents_lead_to_every_box(verdicts: dict[str, Verdict]) -> None:
    found = theorems.collect(verdicts, TOPICS)
    listed, shown = Elements(theorems.contents(found, "B")), Elements(theorems.section(found, "B"))
    assert listed.links == [f"#{t.anchor}" for t in found if t.number.startswith("B")]
    assert {link.removeprefix("#") for link in listed.links} <= set(shown.ids)
    assert len(set(shown.ids)) == len(shown.ids)
    assert "First <topic>B.1 ✕ “Title B-1”B.2 ✓ Title B-6B.3 ◐" in listed.text
    assert "Title A-1" not in listed.text + shown.text


def test_a_box_tells_claim_correction_and_ground(verdicts: dict[str, Verdict]) -> None:
    text = theorems.section(theorems.collect(verdicts, TOPICS), "B", root="pages")
    found = Elements(text)
    for words in (
        "Theorem B.1 “Title B-1” refuted, and corrected", r"The paper (§ 1 & 2): \(a<b\)", "and “Title B-2”",
        r"What holds. \(a\le b\), sharp.", "Theorem B.2 Title B-6 ours, proved", "Rests on B.1, B-5.",
    ):  # fmt: skip
        assert words in found.text
    assert "Ours:" not in found.text and "six holds" not in found.text.replace("Six holds", "")
    assert found.ids[:2] == ["theorem-B-1", "theorem-B-2"]
    assert {"#theorem-B-1", "ledger.html#row-B-5", "pages/late.html#claim-B-3"} <= set(found.links)
    # What a shared correction rests on is named once, and never itself.
    first = Elements(text[: text.index("Theorem B.2")])
    assert first.text.count("Rests on B-9.") == 1
    assert "ledger.html#row-B-1" not in first.links


def test_slips_close_a_paper(verdicts: dict[str, Verdict]) -> None:
    """A slip that is a theorem stands there and is not told twice."""
    found = Elements(theorems.slips(verdicts, "B", root="pages"))
    assert r"B-9 (§ 9). Printed: \(p<q\). Meant: \(q<p\). As meant: proved." in found.text
    assert "B-8" not in found.text
    assert found.links == ["pages/early.html#claim-B-9"]
    assert theorems.slips(verdicts, "A") == ""


def test_citation_names_number_claim_version_and_place(verdicts: dict[str, Verdict]) -> None:
    found = {t.number: t for t in theorems.collect(verdicts, TOPICS)}
    assert theorems.cite(found["B.5"], "a book", "1.2.3") == (
        "Theorem B.5 (claim B-3), in: a book, version 1.2.3, book/theorems.html#theorem-B-3"
    )
    assert "(claims B-1 and B-2)" in theorems.cite(found["B.1"], "a book", "1.2.3")
