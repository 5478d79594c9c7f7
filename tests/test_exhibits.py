"""The index of figures and tables: complete, in order, each counterpart where it says."""

import re
from pathlib import Path

import pytest

from mmfusion import claims, exhibits
from mmfusion.claims import ClaimError
from workflow import settings

ROOT = Path(__file__).resolve().parents[1]
WHOLE = {"id": "figure-1", "paper": "A", "title": "t", "page": "p", "experiment": "e", "claims": ["A-1"]}


def written(tmp_path, *rows):
    import yaml

    path = tmp_path / "exhibits.yml"
    path.write_text(yaml.safe_dump(list(rows)))
    return path


def test_no_figure_or_table_of_results_is_missing():
    found = [exhibit.id for exhibit in exhibits.read(ROOT / "exhibits.yml")]
    assert sorted(found) == sorted([f"figure-{n}" for n in range(4, 23)] + ["table-1", "table-2"])


def test_every_counterpart_stands_once_on_its_page():
    for exhibit in exhibits.read(ROOT / "exhibits.yml"):
        text = (ROOT / "notebooks" / f"{exhibit.page}.md").read_text(encoding="utf-8")
        assert len(re.findall(rf"^\({exhibit.anchor}\)=$", text, flags=re.M)) == 1, exhibit.id


def test_claims_and_experiments_exist():
    ledger = claims.Ledger.load()
    known = settings.read(ROOT / "profiles/quick.yml")["experiments"]
    for exhibit in exhibits.read(ROOT / "exhibits.yml"):
        assert exhibit.experiment in known
        assert exhibit.claims and all(ledger[name].paper == exhibit.paper for name in exhibit.claims)


def test_the_table_links_every_row(tmp_path):
    shown = exhibits.read(ROOT / "exhibits.yml")
    verdicts = claims.Ledger.load().verdicts(tmp_path)
    data = {exhibit.experiment: f"data of {exhibit.experiment}" for exhibit in shown}
    page = exhibits.table(shown, verdicts, data)
    assert page.count("<tr>") == len(shown) + 1
    assert 'href="../notebooks/lipschitz/results-mujoco.html#exhibit-figure-4">Figure 4<' in page
    assert "data of welding-dual" in page and "not yet examined" in page
    with pytest.raises(ClaimError, match="Figure 4: nothing is known of mujoco"):
        exhibits.table(shown, verdicts, {})
    with pytest.raises(ClaimError, match="Figure 4: nothing is known of A-GAUGE, A-S3.3enc"):
        exhibits.table(shown, {}, data)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([WHOLE, WHOLE], "figure-1 stands twice"),
        ([{**WHOLE, "id": "figure"}], "wanted text in every field, as id figure-4"),
        ([{**WHOLE, "id": 4}], "wanted text in every field"),
        ([{**WHOLE, "title": None}], "wanted text in every field"),
        ([{**WHOLE, "more": 1}], "exhibit 1 .* wanted the fields claims, experiment"),
        ([{key: WHOLE[key] for key in WHOLE if key != "page"}], "wanted the fields"),
        ([{**WHOLE, "claims": "A-1"}], "wanted the fields"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, rows, message):
    with pytest.raises(ClaimError, match=message):
        exhibits.read(written(tmp_path, *rows))


def test_a_missing_file_or_another_kind_is_refused(tmp_path):
    with pytest.raises(ClaimError, match="cannot read exhibits from"):
        exhibits.read(tmp_path / "none.yml")
    (tmp_path / "map.yml").write_text("a: 1\n")
    with pytest.raises(ClaimError, match="holds dict, wanted a list"):
        exhibits.read(tmp_path / "map.yml")
