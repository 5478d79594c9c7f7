"""The page on failure detection: its verdict follows made-up latents, both ways; on untrained models it runs."""

import numpy as np
import pytest
import torch

from mmfusion.data import prepare
from mmfusion.data.dataset import MultimodalDataset
from mmfusion.measure import detection
from tests.made_up_runs import run_page, write_runs

# The page is under test here; the modules that it uses have tests, and coverage, of their own.
pytestmark = pytest.mark.no_cover

PAGE = "lipschitz/failure-detection"
VARIANTS = ("sum", "concat", "attention", "attention-original", "concat-scaled")


def recorded(episodes=12, frames=16):
    """Pictures and windows of pure noise; in the last held-out episode one sensor channel is far off."""
    rng = np.random.default_rng(0)
    count = episodes * frames
    pictures = rng.integers(60, 180, (count, 8, 8, 3)).astype(np.uint8)
    windows = (0.1 * rng.standard_normal((count, 3, 2))).astype(np.float32)
    episode = np.repeat(np.arange(episodes), frames)
    data = MultimodalDataset(
        {"camera": pictures, "sensor": windows}, episode, {"sensor": ("a", "b")}, "d" * 64, {"name": "made-up"}
    )
    odd = data.split(0.5, 0)[1].episodes[-1]
    windows[episode == odd, -1, -1] = 50
    return data


@pytest.fixture
def data(monkeypatch):
    """The page finds this data set, half of it held out."""
    found = prepare.prepared(recorded(), 0.5, 0)
    monkeypatch.setattr(prepare, "of_record", lambda record, root: found)
    return found


def encoded(model, inputs, batch=512):
    return {name: tensor.flatten(1) for name, tensor in inputs.items()}


def blind(flat, seed):
    """Latents that no failure changes, and that lie far out in the odd episode: many false alarms, nothing found."""
    latents = torch.randn(flat.shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(flat[:, -1:] > 100, 5 * latents, latents)


def make_up(monkeypatch, seeing):
    """Fused latents of the fusions in ``seeing`` are the inputs, the odd channel apart; all others are blind."""

    def fused(model, inputs, known=None, batch=512):
        parts = encoded(model, inputs) | dict(known or {})
        flat = torch.cat([parts["camera"], parts["sensor"]], dim=1)
        kind = next(name for name in ("attention", "concat", "sum") if name in type(model.fusion).__name__.lower())
        seed = int(1e6 * sum(p.sum().item() for p in model.parameters())) % 10_000
        latents = flat[:, :-1] if kind in seeing else blind(flat, seed)
        return latents.double().numpy()

    monkeypatch.setattr(detection, "encoded", encoded)
    monkeypatch.setattr(detection, "fused_latents", fused)


def execute(monkeypatch, folder, records=None, seeds=5, detectors=None, **options):
    write_runs(folder, "mujoco", VARIANTS, seeds=seeds, weights=True, **options)
    detectors = detectors or {"kernels": ["linear"], "components": [40]}
    names, glued = run_page(monkeypatch, PAGE, runs=str(folder), profile="smoke", records=records, **detectors)
    return names["check"], glued, names


def test_reproduced_where_only_attention_sees_failures(tmp_path, monkeypatch, data):
    make_up(monkeypatch, {"attention"})
    check, glued, names = execute(monkeypatch, tmp_path, records=tmp_path / "claims")
    assert check.verdict("A-S5.7").verdict == glued["failure_A-S5.7"] == "reproduced"
    assert glued["failure_more"] == glued["failure_fewer"] == "reproduced"
    assert glued["failure_tpr_attention"] > 0.4 > 0.3 > glued["failure_tpr_sum"]
    assert glued["failure_fpr_attention"] < 0.1 < glued["failure_fpr_concat"]
    assert [item["n"] for item in check.items] == [5] * 4
    assert (tmp_path / "claims" / "lipschitz" / "failure-detection.json").is_file()
    # On the frames that set it the threshold gives every fusion one rate.
    assert glued["failure_built_in"] == pytest.approx(np.floor(0.05 * len(names["keep"])) / len(names["keep"]))


def test_contradicted_where_attention_is_the_blind_one(tmp_path, monkeypatch, data):
    make_up(monkeypatch, {"sum", "concat"})
    check, glued, _ = execute(monkeypatch, tmp_path)
    assert check.verdict("A-S5.7").verdict == "contradicted"
    assert glued["failure_more"] == glued["failure_fewer"] == "contradicted"
    assert glued["failure_tpr_attention"] < 0.3 < glued["failure_tpr_concat"]


def test_inconclusive_where_all_see_alike(tmp_path, monkeypatch, data):
    make_up(monkeypatch, {"sum", "concat", "attention"})
    check, glued, _ = execute(monkeypatch, tmp_path)
    assert check.verdict("A-S5.7").verdict == "inconclusive"
    assert glued["failure_tpr_attention"] == pytest.approx(glued["failure_tpr_sum"])


def test_untrained_models_of_too_few_seeds_decide_nothing(tmp_path, monkeypatch, data):
    check, glued, names = execute(
        monkeypatch, tmp_path, seeds=4, detectors={"kernels": ["rbf", "linear"], "components": [5, 20]}
    )
    assert glued["failure_lost"] == 20 - len(names["everything"])
    assert check.verdict("A-S5.7").verdict == "inconclusive"
    assert glued["failure_seeds"] == 4 and 0 <= glued["failure_shrinkage_low"] <= glued["failure_shrinkage_high"] <= 1
    assert glued["failure_apart_low"] == pytest.approx(0.5, abs=0.15)
    for watched in names["everything"].values():
        assert all((w.clean > w.training_threshold).mean() < 1 for w in watched.values())


def test_a_diverged_run_leaves_its_pair_out(tmp_path, monkeypatch, data):
    make_up(monkeypatch, {"attention"})
    check, _, _ = execute(monkeypatch, tmp_path, diverged={("attention", 0), ("sum", 3)})
    assert sorted(item["n"] for item in check.items) == [3, 3, 4, 4]
    assert check.verdict("A-S5.7").verdict == "inconclusive"


def test_one_held_out_episode_is_too_few(tmp_path, monkeypatch):
    found = prepare.prepared(recorded(4), 0.25, 0)
    monkeypatch.setattr(prepare, "of_record", lambda record, root: found)
    with pytest.raises(ValueError, match="at least 2 held-out episodes"):
        execute(monkeypatch, tmp_path)


def test_missing_runs_are_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no run records of sum, concat"):
        run_page(monkeypatch, PAGE, runs=str(tmp_path))
