"""The training page runs as a whole on each published layout, by two parameters: the name and the folder."""

import json
from pathlib import Path

import nbformat
import pytest

from mmfusion import data
from workflow.execute import execute

PAGE = Path(__file__).resolve().parents[3] / "notebooks" / "lipschitz" / "train.md"
SMOKE = {
    "profile": "smoke", "frames": 24, "image_size": 16, "seeds": [0], "epochs": 1, "batch_size": 8, "channels": [4, 4],
    "widths": [16], "measure_every": 1, "measure_samples": 2, "test_fraction": 0.34,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "modalities"),
    [("robomnist", ["camera", "sensor", "signal"]), ("industrial-single", ["camera", "sensor"])],
)
def test_the_training_page_runs_on_published_data(request, tmp_path, name, modalities):
    folder = request.getfixturevalue("robomnist" if name == "robomnist" else "industrial")
    target = tmp_path / "train.ipynb"
    execute(PAGE, target, {**SMOKE, "dataset": name, "data_root": str(folder), "records": str(tmp_path / "records")})

    (path,) = (tmp_path / "records").rglob("seed-0.json")
    record = json.loads(path.read_text())
    assert record["status"] == "finished" and record["dataset"]["name"] == name
    assert record["dataset"]["digest"] == data.load(name, folder, 24, 16, 0).digest
    (*_, last) = record["history"]
    for part in ("train", "test"):
        assert set(last[part]) >= {*modalities, "total"}
        assert all(0 < last[part][modality] < 100 for modality in modalities)
    assert last["measures"]["end_to_end/lower"] > 0

    done = nbformat.read(target, as_version=4)
    shown = [out for cell in done.cells if cell.cell_type == "code" for out in cell.outputs]
    assert not [out for out in shown if out.output_type == "error"]
    said = " ".join(json.dumps(out) for out in shown)
    assert f"data set '{name}'" in said and all(f"test, {modality}" in said for modality in modalities)
    assert str(folder) not in said
