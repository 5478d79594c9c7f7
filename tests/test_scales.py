"""Paper scale beside the page's own: shown where its records exist, and kept apart."""

import base64
import io
import json

import pandas as pd
import pytest

from mmfusion import quantities, runs, scales, statistics
from mmfusion.experiment import Experiment
from tests.made_up_runs import write_runs

PAIR = ["sum", "attention"]


def headline(experiment):
    sides = [quantities.constant(experiment, variant) for variant in PAIR]
    return [statistics.paired("constant: sum ÷ attention", *sides, scale="log10 ratio")]


def show(tmp_path):
    experiment = Experiment.read(tmp_path / "quick", "try", PAIR)
    return scales.beside(experiment, tmp_path / "paper", PAIR, headline, name="both")


@pytest.fixture
def quick(tmp_path):
    write_runs(tmp_path / "quick", "try", [*PAIR, "concat"], level={"sum": 2.0}, profile="quick")
    return tmp_path


def test_both_scales_stand_apart(quick):
    write_runs(quick / "paper", "try", PAIR, level={"sum": 20.0}, profile="paper", seeds=10, epochs=8)
    shown = show(quick)
    data = shown.to_html().split("base64,")[-1].split('"')[0]
    (row,) = pd.read_csv(io.StringIO(base64.b64decode(data).decode())).to_dict("records")
    assert list(row) == ["question", "quick, on made-up", "paper scale, on made-up"]
    assert float(row["quick, on made-up"].split()[0]) == pytest.approx(2, rel=0.1)
    assert row["quick, on made-up"].endswith("n = 6)")
    assert row["paper scale, on made-up"].endswith("n = 10)")
    assert float(row["paper scale, on made-up"].split()[0]) == pytest.approx(20, rel=0.1)
    assert shown.facts["profile"] == "quick | paper"


def test_nothing_there_is_said(quick):
    assert show(quick).text == "Not yet run at paper scale."
    write_runs(quick / "paper", "try", ["sum"], profile="paper")
    assert "Not yet run" in show(quick)._repr_mimebundle_()["text/html"]


def test_a_page_at_paper_scale_needs_no_second_column(tmp_path):
    write_runs(tmp_path / "quick", "try", PAIR, profile="paper")
    assert show(tmp_path).text == "The numbers on this page are at paper scale."


def test_broken_records_at_paper_scale_stop_the_page(quick):
    write_runs(quick / "paper", "try", PAIR, profile="paper")
    path = runs.record_path(quick / "paper", "try", "sum", 1)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"config": record["config"] | {"epochs": 9}}))
    with pytest.raises(ValueError, match="2 settings"):
        show(quick)
