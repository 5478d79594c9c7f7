"""Reading an experiment back: pairing by seed, refusing what cannot be compared, divergence kept apart."""

import json
import math

import pytest
import torch

from mmfusion import runs
from mmfusion.experiment import Experiment
from mmfusion.training import Settings


def samples(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        "camera": torch.rand(count, 3, 8, 8, generator=generator),
        "sensor": torch.randn(count, 6, generator=generator),
        "signal": torch.randn(count, 4, generator=generator),
    }


@pytest.fixture
def folder(tmp_path):
    for variant, rate in (("sum", 1e-3), ("concat", 1e-3), ("sum-fast", 1e-2)):
        for seed in (0, 2, 5) if variant == "sum" else (5, 2):
            runs.run(
                {"name": "toy", "digest": "d" * 64}, samples(12, 0), samples(6, 1), variant.split("-")[0], seed,
                Settings(epochs=2, batch_size=8, learning_rate=rate, measure_every=1), channels=(3, 2), widths=(5,),
                measure=lambda net, epoch: {"constant": float(epoch)}, experiment="try", variant=variant,
                folder=tmp_path, facts={"profile": "test"}, progress=False,
            )  # fmt: skip
    return tmp_path


def test_variants_are_paired_by_their_common_seeds(folder):
    found = Experiment.read(folder, "try", ["sum", "concat"])
    assert found.seeds == (2, 5) and found.modalities == ["camera", "sensor", "signal"]
    table = found.series("sum", "test", "signal")
    assert list(table.columns) == [2, 5] and list(table.index) == [0, 1, 2]
    ends = found.at_end("concat", "measures", "constant")
    assert ends == {2: 2.0, 5: 2.0}
    assert found.facts() | {"commit": 0} == {
        "profile": "test", "data": "toy dddddddddddd", "seeds": [2, 5], "device": "cpu",
        "runs made at commit": found.found[0]["provenance"]["commit"], "commit": 0,
    }  # fmt: skip
    assert found.diverged == {"sum": 0, "concat": 0}
    assert found.origin == "toy, our simulated stand-in"
    assert found.conditions == f"{found.origin}, {found.config['epochs']} epochs"


def test_published_data_are_called_so(folder):
    for variant in ("sum", "concat"):
        for seed in (2, 5):
            path = runs.record_path(folder, "try", variant, seed)
            record = json.loads(path.read_text())
            record["dataset"]["name"] = "industrial-mujoco"
            path.write_text(json.dumps(record))
    assert Experiment.read(folder, "try", ["concat"]).origin == "industrial-mujoco, as published"


def test_a_model_comes_back_by_variant_and_seed(folder):
    found = Experiment.read(folder, "try", ["sum", "concat"])
    model = found.model("concat", 5)
    assert model.fusion.fused_features == 3 * model.latent
    assert math.isfinite(float(model(samples(2, 3))["signal"].sum()))
    with pytest.raises(ValueError, match="no run of 'concat' with seed 0"):
        found.model("concat", 0)


def test_settings_may_differ_only_where_it_is_said(folder):
    said = "1 data sets and 2 settings.*'sum' with seed 2 and 'sum-fast' with seed 2 have learning_rate"
    with pytest.raises(ValueError, match=said):
        Experiment.read(folder, "try", ["sum", "sum-fast"])
    assert Experiment.read(folder, "try", ["sum", "sum-fast"], varied=["learning_rate"]).seeds == (2, 5)


def test_another_data_set_is_not_mixed_in(folder):
    path = runs.record_path(folder, "try", "concat", 2)
    record = json.loads(path.read_text())
    record["dataset"]["digest"] = "e" * 64
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="2 data sets"):
        Experiment.read(folder, "try", ["sum", "concat"])


def test_other_files_in_the_folder_are_left_alone(folder):
    (folder / "try" / "sum" / "seed-old.json").write_text("{}")
    assert Experiment.read(folder, "try", ["sum", "concat"]).seeds == (2, 5)


def test_a_diverged_run_leaves_the_tables_and_is_counted(folder):
    path = runs.record_path(folder, "try", "sum", 2)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"status": "diverged", "diverged_at": 2}))
    found = Experiment.read(folder, "try", ["sum", "concat"])
    assert found.diverged == {"sum": 1, "concat": 0}
    assert list(found.series("sum", "test", "total").columns) == [5]
    assert math.isnan(found.at_end("sum", "test", "total")[2])


@pytest.mark.parametrize(
    ("variants", "least", "message"),
    [
        (["sum", "product"], 2, "no run records of product in experiment 'try'"),
        (["sum", "concat"], 3, "share 2 seeds; comparisons need at least 3"),
        ([], 2, "at least one variant"),
    ],
)
def test_what_cannot_be_read_is_named(folder, variants, least, message):
    with pytest.raises(ValueError, match=message):
        Experiment.read(folder, "try", variants, least=least)


def test_an_unread_variant_is_refused(folder):
    with pytest.raises(ValueError, match="was read with .*'sum'.*, not 'concat'"):
        Experiment.read(folder, "try", ["sum"]).series("concat", "test", "total")
