"""The rule that turns evidence into a verdict, and how a verdict is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy
import torch

from mmfusion.claims import Check, ClaimError, Ledger
from mmfusion.verdicts import derive, to_html


def verdict(check: Check, claim: str) -> str:
    return check.verdict(claim).verdict


def compare(check: Check, **changes: Any) -> bool:
    facts = dict(effect=2.0, low=1.0, high=3.0, n=6, p=0.01, data="stand-in")
    return check.comparison("Z-E", "is it higher", **{**facts, **changes})


# ------------------------------------------------------------------------------------------------- verdicts
def test_no_evidence_is_not_yet_examined(check: Check) -> None:
    for claim in ("Z-M", "Z-E", "Z-A"):
        assert verdict(check, claim) == "not yet examined"


def test_proved_by_proof_and_by_identity(check: Check) -> None:
    assert check.proof("Z-M", {"one": True, "two": np.bool_(True), "three": torch.tensor(True), "four": sympy.true})
    assert verdict(check, "Z-M") == "proved"
    x = sympy.Symbol("x")
    assert check.identity(
        "Z-M", {"square": ((x + 1) ** 2, x**2 + 2 * x + 1), "zero": sympy.sin(x) ** 2 + sympy.cos(x) ** 2 - 1}
    )
    assert check.identity("Z-M", {"matrix": sympy.Matrix([[x - x, 0]])})
    assert verdict(check, "Z-M") == "proved"


def test_broken_identity_and_broken_step_fail(check: Check) -> None:
    x = sympy.Symbol("x")
    assert not check.identity("Z-M", {"square": ((x + 1) ** 2, x**2 + 1), "fine": (x, x)})
    assert list(check.items[-1]["broken"]) == ["square"]
    assert verdict(check, "Z-M") == "check failed"
    check.items.clear()
    assert not check.identity("Z-M", {"matrix": sympy.Matrix([[0, x]])})
    check.items.clear()
    assert not check.proof("Z-M", {"good": True, "bad": False}, statement="what would hold")
    shown = check.verdict("Z-M")
    assert shown.verdict == "check failed"
    assert shown.corrected is None
    assert "did not go through" in shown.to_html()


@pytest.mark.parametrize("step", [0.3, 1, None, "yes", np.float64(1e-17), sympy.Symbol("x") > 0, torch.ones(2) > 0])
def test_a_step_is_a_truth_value(check: Check, step: Any) -> None:
    with pytest.raises(ClaimError, match="step 's' is .*, wanted true or false"):
        check.proof("Z-M", {"s": step})


def test_evidence_must_not_be_empty(check: Check) -> None:
    with pytest.raises(ClaimError, match="no step given"):
        check.proof("Z-M", {})
    with pytest.raises(ClaimError, match="no identity given"):
        check.identity("Z-M", {})
    with pytest.raises(ClaimError, match="no figure given"):
        check.recompute("Z-A", {})


@pytest.mark.parametrize(
    ("relation", "observed", "breaks"),
    [("<=", 1.5, True), ("<=", 1.0, False), (">=", 0.5, True), (">=", 1.5, False), ("==", 1.1, True),
     ("==", 1.0, False), ("<=", float("nan"), False), ("<=", float("inf"), True)],
)  # fmt: skip
def test_counterexample(check: Check, relation: str, observed: float, breaks: bool) -> None:
    assert check.counterexample("Z-M", "an instance", claimed=1.0, observed=observed, relation=relation) is breaks
    assert verdict(check, "Z-M") == ("refuted" if breaks else "check failed")


def test_counterexample_relation(check: Check) -> None:
    with pytest.raises(ClaimError, match="relation is '<'"):
        check.counterexample("Z-M", "an instance", claimed=1, observed=2, relation="<")


def test_refuted_with_and_without_a_correction(check: Check) -> None:
    check.counterexample("Z-M", "an instance", claimed=1, observed=2)
    assert "No corrected statement" in check.verdict("Z-M").to_html()
    assert check.correction("Z-M", "$a\\le 2b$", {"step": True})
    shown = check.verdict("Z-M")
    assert (shown.verdict, shown.corrected) == ("refuted", "$a\\le 2b$")
    assert "No corrected statement" not in shown.to_html()


def test_proof_and_counterexample_contradict(check: Check) -> None:
    check.proof("Z-M", {"step": True})
    check.counterexample("Z-M", "an instance", claimed=1, observed=2)
    assert verdict(check, "Z-M") == "check failed"


def test_sharper_needs_a_proof_and_an_attaining_value(check: Check) -> None:
    assert check.sharper("Z-M", paper=4, ours=3, attained=2.9999)
    assert verdict(check, "Z-M") == "not yet examined"
    check.proof("Z-M", {"step": True})
    assert verdict(check, "Z-M") == "sharpened"
    for numbers in ({"paper": 3, "ours": 3, "attained": 3}, {"paper": 4, "ours": 3, "attained": 2.5},
                    {"paper": 4, "ours": 3, "attained": 3.1}):  # fmt: skip
        check.items.clear()
        assert not check.sharper("Z-M", **numbers)
        assert verdict(check, "Z-M") == "check failed"


def test_needs_an_assumption_wants_both_halves(check: Check) -> None:
    assert check.assumption("Z-M", "$n\\ge2$", claimed=1, observed=2, steps={"with it": True}, statement="for $n\\ge2$")
    assert (verdict(check, "Z-M"), check.verdict("Z-M").corrected) == ("needs an assumption", "for $n\\ge2$")
    check.items.clear()
    assert not check.assumption("Z-M", "a", claimed=1, observed=1, steps={"with it": True})
    assert not check.assumption("Z-M", "a", claimed=1, observed=2, steps={"with it": False})
    assert verdict(check, "Z-M") == "check failed"


def test_a_search_corroborates_and_never_proves(check: Check) -> None:
    assert check.search("Z-M", bound=3, worst=2.99, starts=200)
    assert verdict(check, "Z-M") == "corroborated"
    check.proof("Z-M", {"step": True})
    assert verdict(check, "Z-M") == "proved"
    assert not check.search("Z-M", bound=3, worst=3.01, starts=200)
    assert verdict(check, "Z-M") == "check failed"


def test_slip_states_what_becomes_of_the_intended_claim(check: Check) -> None:
    check.slip("Z-M", printed="a row", intended="a column")
    assert check.verdict("Z-M").label == "slip; as intended: not yet examined"
    check.proof("Z-M", {"step": True})
    assert str(check.verdict("Z-M")) == "Z-M: slip; as intended: proved"
    check.counterexample("Z-M", "an instance", claimed=1, observed=2)
    assert verdict(check, "Z-M") == "check failed"
    check.items.clear()
    assert not check.slip("Z-M", printed=" ", intended="a column")
    assert verdict(check, "Z-M") == "check failed"


def test_arithmetic(check: Check) -> None:
    check.recompute("Z-A", {"a third": (0.333, 1 / 3, 0.0005), "order": True, "half a unit": (21.449, 21.4495, 0.0005)})
    assert verdict(check, "Z-A") == "consistent"
    check.recompute("Z-A", {"a half": (0.5, 0.6, 0.05)}, statement="0.6")
    assert (verdict(check, "Z-A"), check.verdict("Z-A").corrected) == ("inconsistent", "0.6")
    with pytest.raises(ClaimError, match="wanted finite numbers"):
        check.recompute("Z-A", {"none": (0.5, float("nan"), 0.05)})
    with pytest.raises(ClaimError, match="wanted true or false"):
        check.recompute("Z-A", {"none": 0.5})


def test_many_figures_are_counted_not_listed(check: Check) -> None:
    check.recompute("Z-A", {**{f"figure {i}": True for i in range(7)}, "the odd one": (1, 2, 0)})
    text = check.verdict("Z-A").to_html()
    assert "7 of 8 figures agree; these do not: the odd one: does not agree (printed 1, found 2)" in text


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "reproduced"),
        ({"claimed": "below"}, "contradicted"),
        ({"effect": -2, "low": -3, "high": -1}, "contradicted"),
        ({"effect": -2, "low": -3, "high": -1, "claimed": "below"}, "reproduced"),
        ({"low": -1}, "inconclusive"),
        ({"p": 0.2}, "inconclusive"),
        ({"n": 4}, "inconclusive"),
        ({"threshold": 1.5}, "inconclusive"),
        ({"threshold": 5.0}, "contradicted"),
        ({"effect": 9.0}, "check failed"),
        ({"effect": float("nan")}, "check failed"),
    ],
)
def test_empirical(check: Check, changes: dict[str, Any], wanted: str) -> None:
    assert compare(check, **changes) is (wanted != "check failed")
    assert verdict(check, "Z-E") == wanted


def test_parts_of_an_empirical_claim_stand_and_fall_together(check: Check) -> None:
    compare(check)
    compare(check)
    assert verdict(check, "Z-E") == "reproduced"
    compare(check, p=0.5)
    assert verdict(check, "Z-E") == "inconclusive"
    compare(check, claimed="below")
    assert verdict(check, "Z-E") == "contradicted"
    with pytest.raises(ClaimError, match="wanted 'above' or 'below'"):
        compare(check, claimed="beside")


def test_needs_data(check: Check) -> None:
    assert check.needs_data("Z-E", "the records are not published")
    assert verdict(check, "Z-E") == "needs data"
    assert not check.needs_data("Z-E", " ")
    assert verdict(check, "Z-E") == "check failed"


def test_evidence_must_fit_the_kind_of_claim(check: Check, ledger: Ledger) -> None:
    with pytest.raises(ClaimError, match="Z-E is empirical; evidence of type 'proof' does not bear on it"):
        check.proof("Z-E", {"step": True})
    with pytest.raises(ClaimError, match="Z-M is mathematical; evidence of type 'recompute'"):
        check.recompute("Z-M", {"figure": True})
    with pytest.raises(ClaimError, match="Z-A is arithmetic"):
        derive(ledger["Z-A"], [{"type": "needs data", "ok": True}])
    assert check.items == []


# ------------------------------------------------------------------------------------------------- display
def test_verdict_box_escapes_and_keeps_mathematics(check: Check) -> None:
    check.counterexample("Z-M", "<script>x</script>", claimed=1, observed=2)
    bundle = check.verdict("Z-M")._repr_mimebundle_()
    assert bundle["text/plain"] == "Z-M: refuted"
    box = bundle["text/html"]
    assert 'id="claim-Z-M"' in box and "verdict-refuted" in box
    assert r"\(a&lt;b\) &amp; more" in box
    assert "<script>" not in box and "&lt;script&gt;" in box
    assert "claimed at most 1, found 2" in box


def test_every_kind_of_evidence_has_its_sentence(check: Check) -> None:
    check.identity("Z-M", {"an identity": (1, 1)})
    check.proof("Z-M", {"a step": True})
    check.sharper("Z-M", paper=4, ours=3, attained=3)
    check.search("Z-M", bound=3, worst=2.5, starts=200)
    check.slip("Z-M", printed="a row", intended="a column")
    text = check.verdict("Z-M").to_html()
    for words in ("an identity", "a step", "Printed constant 4; ours 3", "200 starts: worst 2.5", "Meant: a column"):
        assert words in text
    check.items.clear()
    check.assumption("Z-M", "two or more", claimed=1, observed=2, steps={"s": True})
    assert "Needs: two or more. Without it: claimed at most 1" in check.verdict("Z-M").to_html()
    compare(check)
    assert "n = 6, p = 0.01), on stand-in" in check.verdict("Z-E").to_html()
    check.items.clear()
    check.needs_data("Z-E", "no records")
    assert "Needs data: no records" in check.verdict("Z-E").to_html()


def test_numbers_are_typeset(check: Check) -> None:
    """A box says −2.5 and ∞, not -2.5 and inf."""
    check.counterexample("Z-M", "a pole", claimed=-2.5, observed=float("inf"))
    box = check.verdict("Z-M").to_html()
    assert "claimed at most −2.5, found ∞" in box and "inf" not in box.split("claimed")[1]


def test_to_html() -> None:
    assert to_html("a < `b<c` $x<y$ $5") == r"a &lt; <code>b&lt;c</code> \(x&lt;y\) $5"
