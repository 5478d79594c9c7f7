import json
import shutil

import pytest
import torch

from mmfusion import records, runs
from mmfusion.training import Settings

DATASET = {"name": "toy", "digest": "abc"}
SMALL = {"channels": (3, 2), "widths": (5,), "progress": False}


def samples(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        "camera": torch.rand(count, 3, 8, 8, generator=generator),
        "sensor": torch.randn(count, 6, generator=generator),
    }


def run(folder=None, fusion="attention", seed=0, dataset=DATASET, epochs=2, **keywords):
    options = Settings(epochs=epochs, batch_size=8, measure_every=1)
    return runs.run(dataset, samples(20, 0), samples(8, 1), fusion, seed, options, folder=folder, **(SMALL | keywords))


def test_record(tmp_path):
    record = run(tmp_path, facts={"profile": "test"}, measure=lambda net, epoch: {"constant": 1.5})
    path = tmp_path / "toy" / "attention" / "seed-0.json"
    assert json.loads(path.read_text()) == record == records.read(path, "run/2", runs.KEYS)
    assert record["status"] == "finished" and record["diverged_at"] is None
    assert record["config"]["latent"] == 2 and record["config"]["epochs"] == 2
    assert record["config"]["samples"] == {"train": 20, "test": 8}
    assert record["provenance"]["profile"] == "test" and record["provenance"]["dataset_digest"] == "abc"
    assert [entry["measures"] for entry in record["history"]] == [{"constant": 1.5}] * 3
    mean = samples(20, 0)["sensor"].mean(0)
    assert record["baseline"]["sensor"] == pytest.approx(
        float((samples(8, 1)["sensor"] - mean).square().mean()), rel=1e-5
    )
    assert set(record["baseline"]) == {"camera", "sensor"}
    net = runs.build(samples(1, 0), "attention", 0, channels=(3, 2), widths=(5,))
    assert record["parameters"] == sum(parameter.numel() for parameter in net.parameters())


def test_a_recorded_run_is_kept_and_a_changed_one_repeated(tmp_path):
    trained = []

    def measure(net, epoch):
        trained.append(epoch)
        return {}

    first = run(tmp_path, measure=measure)
    count = len(trained)
    assert run(tmp_path, measure=measure) == first
    assert len(trained) == count
    for change in (
        {"epochs": 3},
        {"severity": 0.5},
        {"fusion_options": {"scale_output": "original"}},
        {"dataset": {**DATASET, "digest": "other"}},
        {"widths": (6,)},
        {"adjust": lambda net, epochs: None, "adjusted": {"norm": 1}},
    ):
        run(tmp_path, measure=measure, **change)
        assert len(trained) > count, change
        count = len(trained)


def test_experiment_and_variant_name_the_record(tmp_path):
    record = run(tmp_path, experiment="strength", variant="lambda-1e-3")
    assert (record["experiment"], record["variant"], record["fusion"]) == ("strength", "lambda-1e-3", "attention")
    assert (tmp_path / "strength" / "lambda-1e-3" / "seed-0.json").is_file()
    assert set(runs.table([record]).variant) == {"lambda-1e-3"}
    for wrong in ("a/b", "..", "a\\b"):
        with pytest.raises(ValueError, match="must be plain names"):
            run(tmp_path, variant=wrong)


def test_the_trained_model_comes_back(tmp_path):
    seen = {}

    def measure(net, epoch):
        seen[epoch] = float(net(samples(4, 9))["sensor"].detach().sum())
        return {}

    record = run(tmp_path, measure=measure)
    net = runs.trained(record, tmp_path)
    assert not net.training
    assert float(net(samples(4, 9))["sensor"].detach().sum()) == pytest.approx(seen[2], rel=1e-5)
    assert seen[2] != pytest.approx(seen[0], rel=1e-3)
    weights = runs.record_path(tmp_path, "toy", "attention", 0, "pt")
    with pytest.raises(ValueError, match="belongs to another run"):
        runs.trained({**record, "key": "other"}, tmp_path)
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match="seed-0.pt is truncated or holds no weights"):
        runs.trained(record, tmp_path)
    weights.unlink()
    with pytest.raises(ValueError, match="no weights at .*seed-0.pt"):
        runs.trained(record, tmp_path)
    run(tmp_path, measure=measure)
    assert weights.is_file()


def test_an_adjusted_run_must_say_how(tmp_path):
    with pytest.raises(ValueError, match="adjust and adjusted go together"):
        run(tmp_path, adjust=lambda net, epochs: None)


def test_other_source_makes_records_stale(tmp_path, monkeypatch):
    first = run(tmp_path)
    monkeypatch.setattr(runs, "source_digest", lambda: "changed")
    assert run(tmp_path)["key"] != first["key"]


def test_source_digest_covers_what_decides_a_run():
    assert len(runs.source_digest()) == 64
    root = runs.Path(runs.__file__).parent
    covered = {path.name for pattern in runs._SOURCES for path in root.glob(pattern)}
    assert {"fusion.py", "latent_maps.py", "objectives.py", "training.py", "runs.py", "autoencoder.py"} <= covered
    assert "plotting.py" not in covered


def test_a_truncated_record_says_so_and_is_not_overwritten(tmp_path):
    run(tmp_path)
    path = runs.record_path(tmp_path, "toy", "attention", 0)
    path.write_text(path.read_text()[:40])
    with pytest.raises(records.RecordError, match="seed-0.json is truncated or not JSON"):
        run(tmp_path)
    assert len(path.read_text()) == 40


def test_the_checkpoint_goes_when_the_record_is_safe(tmp_path):
    run(tmp_path / "records", checkpoints=tmp_path / "checkpoints")
    assert list((tmp_path / "checkpoints").rglob("*.pt")) == []

    def interrupt(net, epoch):
        if epoch == 12:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "records", epochs=20, checkpoints=tmp_path / "checkpoints", measure=interrupt)
    assert [path.name for path in (tmp_path / "checkpoints").rglob("*")][-1] == "seed-0.pt"
    resumed = run(epochs=20, checkpoints=tmp_path / "checkpoints", measure=lambda net, epoch: {})
    assert resumed["history"] == run(epochs=20, measure=lambda net, epoch: {})["history"]


def test_the_seed_pairs_runs_of_different_fusions():
    nets = [runs.build(samples(2, 0), fusion, 4, channels=(3, 2), widths=(5,)) for fusion in ("sum", "attention")]
    pairs = zip(nets[0].encoders.parameters(), nets[1].encoders.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert nets[0].specs["camera"].size == (8, 8)


def test_divergence_is_recorded(tmp_path):
    options = Settings(epochs=9, batch_size=8, learning_rate=1e30)
    record = runs.run(DATASET, samples(20, 0), samples(8, 1), "sum", 0, options, folder=tmp_path, **SMALL)
    assert record["status"] == "diverged" and record["diverged_at"] == len(record["history"])
    assert runs.table([record]).value.notna().all()


def test_read_runs_and_table(tmp_path):
    for fusion in ("sum", "concat"):
        for seed in (0, 1):
            run(tmp_path, fusion, seed, measure=lambda net, epoch: {"constant": 2.0, "unbounded": float("inf")})
    found = runs.read_runs(tmp_path, "toy", ["concat", "sum"], [1, 0])
    assert [(record["fusion"], record["seed"]) for record in found] == [
        ("concat", 1),
        ("concat", 0),
        ("sum", 1),
        ("sum", 0),
    ]
    frame = runs.table(found)
    assert list(frame.columns) == ["variant", "seed", "status", "epoch", "kind", "name", "value"]
    assert len(frame) == 4 * 3 * (3 + 3 + 2)
    assert (frame[frame.name == "constant"].value == 2).all()
    assert frame[frame.name == "unbounded"].value.isna().all()
    with pytest.raises(records.RecordError, match="cannot read record .*seed-7.json"):
        runs.read_runs(tmp_path, "toy", ["sum"], [7])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fusion": "mean"}, "unknown fusion 'mean'"),
        ({"seed": -1}, "seeds must be"),
        ({"dataset": {"name": "toy"}}, "needs a name and a digest; missing: \\['digest'\\]"),
        ({"channels": (3, 3, 3, 3)}, "too small for 4 convolutions"),
    ],
)
def test_bad_runs(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **change)
    assert list(tmp_path.iterdir()) == []


def test_runs_and_checkpoints_move_to_another_machine(tmp_path):
    """Both folders, carried elsewhere: what is finished stays, what was cut short goes on and ends as if it never was.

    The build of PyTorch may differ there, its release may not.
    """
    seen = []

    def measure(net, epoch):
        seen.append(epoch)
        if cut and epoch == 3:
            raise KeyboardInterrupt
        return {"weights": sum(float(parameter.detach().norm()) for parameter in net.parameters())}

    cut = False
    settings = Settings(epochs=4, batch_size=8, measure_every=1, checkpoint_every=1)

    def train(place, seed):
        return runs.run(
            DATASET, samples(20, 0), samples(8, 1), "attention", seed, settings, measure=measure,
            folder=place / "runs", checkpoints=place / "checkpoints", **SMALL,
        )  # fmt: skip

    there, here = tmp_path / "there", tmp_path / "here"
    whole = train(tmp_path / "uninterrupted", 1)
    first = train(there, 0)
    cut = True
    with pytest.raises(KeyboardInterrupt):
        train(there, 1)
    here.mkdir()
    shutil.move(there / "runs", here / "runs")
    shutil.move(there / "checkpoints", here / "checkpoints")
    seen.clear()
    cut = False
    assert train(here, 0) == first and not seen
    resumed = train(here, 1)
    assert seen == [3, 4]
    assert resumed["history"] == whole["history"] and resumed["key"] == whole["key"]
    final, other = runs.trained(resumed, here / "runs"), runs.trained(whole, tmp_path / "uninterrupted/runs")
    assert all(torch.equal(a, b) for a, b in zip(final.parameters(), other.parameters(), strict=True))
    assert not list((here / "checkpoints").rglob("*.pt"))


def test_the_key_follows_from_the_record(tmp_path, monkeypatch):
    """Where it was made does not matter, the source and the release of PyTorch do."""
    record = run(tmp_path)

    def key(**changes):
        made = record["provenance"] | changes
        config, data = record["config"], record["dataset"]["digest"]
        return runs.identity(config, record["modalities"], data, record["fusion"], 0, made["source"], made["torch"])

    assert key() == record["key"] == key(device="elsewhere", commit="other")
    assert key(source="other") != record["key"] != key(torch="1.0")
    monkeypatch.setattr(torch, "__version__", torch.__version__.split("+")[0] + "+cu130")
    assert run(tmp_path) == record
