"""The training page refuses impossible parameters before it computes anything, in words."""

from pathlib import Path

import jupytext
import pytest

from mmfusion import data

PAGE = Path(__file__).resolve().parents[1] / "notebooks/lipschitz/train.md"
SMALL = {
    "frames": 60, "image_size": 16, "seeds": [0], "epochs": 1, "batch_size": 8, "channels": [4, 4], "widths": [16],
    "measure_every": 1, "measure_samples": 1, "test_fraction": 0.5, "fusion": "sum",
}  # fmt: skip


def until(cells, given, folder):
    """Run the page's first cells with the parameters ``given``."""
    space = {}
    parts = [cell for cell in jupytext.read(PAGE).cells if cell.cell_type == "code"]
    for cell in parts[:cells]:
        exec(cell.source, space)
        if "parameters" in cell.metadata.get("tags", []):
            space.update(SMALL, records=str(folder), data_root=str(folder / "data"), **given)
    return space


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"variants": ["sum"]}, "variants must name settings, .*got .'sum'."),
        ({"variants": {"a": None}}, "variants must name settings"),
        ({"variants": {"../a": {}}}, "plain names, got '../a'"),
        ({"variants": {"a": {"epochs": 3}}}, "variant 'a' sets .'epochs'."),
        (
            {"variants": {"a": {"fusion": "attention", "matched_to": "b"}}},
            "matched to another .* weight_l2 0, got 1e-05",
        ),
        ({"modalities": []}, "modalities must be None or a list of names"),
        ({"modalities": "camera"}, "modalities must be None or a list of names.*got 'camera'"),
        ({"modalities": ["camera", "camera"]}, "each once"),
        ({"severity": 2}, "severity must be a number between 0 and 1, got 2"),
        ({"test_fraction": "half"}, "test_fraction must be a number between 0 and 1, got 'half'"),
        ({"measure_samples": 0}, "measure_samples must be a whole number from 1, got 0"),
        ({"measure_iterations": 0.5}, "measure_iterations must be a whole number from 1, got 0.5"),
        ({"mixed_precision": "yes"}, "mixed_precision must be True or False, got 'yes'"),
    ],
)
def test_impossible_parameters_are_refused_at_the_door(tmp_path, given, said):
    with pytest.raises(ValueError, match=said):
        until(3, given, tmp_path)
    assert not list(tmp_path.rglob("*.json")) and not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"fusion_options": {"layers": 2}},
            r"variant 'sum' has the fusion_options {'layers': 2}: .*unexpected keyword",
        ),
        ({"channels": [4] * 5}, "too small for 5 convolutions"),
        ({"modalities": ["lidar"]}, "has the modalities .*not 'lidar'"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_the_first_run(tmp_path, given, said):
    with pytest.raises(ValueError, match=said):
        until(4, given, tmp_path)
    assert not list(tmp_path.rglob("seed-*.json"))


def test_constants_measured_at_another_number_of_samples_are_not_passed_off(tmp_path):
    """A run that is already there is not repeated, but neither shown as what it is not."""
    until(5, {}, tmp_path)
    assert until(5, {}, tmp_path)["finished"][0]["provenance"]["measure_samples"] == 1
    with pytest.raises(ValueError, match=r"were measured at \[1\] samples, wanted 2; name another folder"):
        until(5, {"measure_samples": 2}, tmp_path)
    with pytest.raises(ValueError, match="measured at .12. iterations, wanted 3; name another folder"):
        until(5, {"measure_iterations": 3}, tmp_path)
    assert data.load("pick-and-place", tmp_path / "data", 60, 16, 0).digest
