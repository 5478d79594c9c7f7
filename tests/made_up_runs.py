"""Run records with a known outcome, and results pages executed on them."""

import contextlib
import itertools
import json
import sys
import types
from pathlib import Path

import jupytext
import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from mmfusion import fusion as operators
from mmfusion import plotting, runs

ROOT = Path(__file__).resolve().parents[1]
SHAPES = {"camera": [3, 8, 8], "sensor": [6], "signal": [4]}
DATASET = {"name": "made-up", "digest": "d" * 64, "frames": 12, "size": 8, "seed": 0}


def fusion_of(variant):
    """The fusion that a variant is named after."""
    fits = [name for name in operators.FUSIONS if variant == name or variant.startswith(f"{name}-")]
    return max(fits, key=len, default="attention")


def history(rng, modalities, epochs, speed, level, jitter, rough, sign, shape):
    """Losses that fall geometrically by ``speed`` and constants at ``level``.

    ``jitter`` is the spread over seeds in decades, alternating in ``sign``; ``rough`` lifts every other epoch by as
    much. ``shape`` maps a measure's name and the share of training done to a factor.
    """
    factor = 10 ** (jitter * sign * (1 + 0.1 * rng.random()))
    shares = {m: 0.2 if m == "camera" else 0.8 / (len(modalities) - 1) for m in modalities}
    entries = []
    for epoch in range(epochs + 1):
        loss = factor * np.exp(-0.2 * speed * epoch) * 10 ** (rough * (epoch % 2) * (1 + 0.1 * rng.random()))
        losses = {m: share * loss for m, share in shares.items()} | {"total": loss}
        measures = {}
        if epoch % 2 == 0:
            value = level * 10 ** (0.02 * rng.standard_normal())
            measures = {"end_to_end/lower": value, "end_to_end/upper": 50 * value, "product/lower": 2 * value}
            for part, m in itertools.product(("encoder", "decoder"), modalities):
                measures[f"{part}/{m}/lower"] = value
                measures[f"gradient/{part}/{m}"] = 10 ** (0.02 * rng.standard_normal())
            for name in measures:
                measures[name] *= shape(name, epoch / epochs) if shape else 1.0
        entries.append({"epoch": epoch, "train": losses, "test": dict(losses), "measures": measures})
    return entries


def write_runs(
    folder, experiment, variants, *, seeds=6, modalities=("camera", "sensor"), epochs=6, speed=None, level=None,
    jitter=None, rough=None, shape=None, diverged=(), dataset=None, shapes=None, samples=None, weights=False,
    profile="smoke",
):  # fmt: skip
    """Write one record per variant and seed below ``folder/experiment``.

    ``speed``, ``level``, ``jitter`` and ``rough`` give a variant's number (1, 1, 0.02 and 0 by default);
    ``shape(variant, name,
    share)`` is a factor on its measure ``name`` when ``share`` of the training is done. ``diverged`` holds pairs
    (variant, seed). ``weights`` also writes those of an untrained model.
    """
    speed, level, jitter, rough = speed or {}, level or {}, jitter or {}, rough or {}
    for variant, seed in itertools.product(variants, range(seeds)):
        broke, fusion = (variant, seed) in diverged, fusion_of(variant)
        rng = np.random.default_rng([seed, *variant.encode()])
        entries = history(
            rng, modalities, epochs, speed.get(variant, 1.0), level.get(variant, 1.0), jitter.get(variant, 0.02),
            rough.get(variant, 0.0), (-1) ** seed, shape and (lambda name, share, v=variant: shape(v, name, share)),
        )  # fmt: skip
        record = {
            "schema": runs.SCHEMA, "experiment": experiment, "variant": variant, "fusion": fusion, "seed": seed,
            "key": "k", "parameters": 1, "dataset": dict(dataset or DATASET),
            "modalities": {m: list((shapes or SHAPES)[m]) for m in modalities},
            "baseline": dict.fromkeys(modalities, 1.0),
            "status": "diverged" if broke else "finished", "diverged_at": 2 if broke else None,
            "config": {"epochs": epochs, "latent": 8, "samples": dict(samples or {"train": 9, "test": 3}),
                       "fusion_options": {}, "severity": 0.3, "channels": [3, 2], "widths": [5], "learning_rate": 1e-3},
            "history": entries[: 2 if broke else None],
            "provenance": {"profile": profile, "dataset_digest": "d" * 64, "device": "cpu", "commit": "c"},
        }  # fmt: skip
        path = runs.record_path(folder, experiment, variant, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))
        if weights:
            save_weights(path, record)


def save_weights(path, record):
    """Weights of an untrained model beside a record."""
    import torch

    samples = {name: torch.empty(0, *shape) for name, shape in record["modalities"].items()}
    config = record["config"]
    model = runs.build(samples, record["fusion"], record["seed"], channels=config["channels"], widths=config["widths"])
    torch.save({"key": record["key"], "weights": model.state_dict()}, path.with_suffix(".pt"))


@contextlib.contextmanager
def bench(monkeypatch):
    """Collect what a page glues; keep figures from being laid out and rendered, which takes most of a page's time."""
    glue = types.ModuleType("myst_nb")
    glued = {}
    glue.glue = lambda name, value, display=True: glued.__setitem__(name, value)
    monkeypatch.setitem(sys.modules, "myst_nb", glue)

    def publish(figure, name, *, alt, caption="", **_):
        plt.close(figure)
        return plotting.Figure(name, "", alt, caption, None, {})

    monkeypatch.setattr(plotting, "publish", publish)
    monkeypatch.setattr(matplotlib.figure.Figure, "draw_without_rendering", lambda figure: None)
    yield glued
    plt.close("all")


def run_page(monkeypatch, page, **parameters):
    """Execute the code cells of ``notebooks/<page>.md``; return all its names, and what it glued."""
    path = ROOT / "notebooks" / f"{page}.md"
    names = {"__name__": "__main__"}
    with bench(monkeypatch) as glued:
        for cell in jupytext.reads(path.read_text(encoding="utf-8"), fmt="md:myst").cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, path.name, "exec"), names)
                if "parameters" in cell.metadata.get("tags", ()):
                    unknown = parameters.keys() - names.keys()
                    assert not unknown, f"{page} has no parameter {sorted(unknown)}"
                    names |= parameters
    return names, glued
