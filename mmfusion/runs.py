"""A run: one model, one seed, one data set; trained once, recorded in one file, and read back for comparison.

An *experiment* compares *variants*: fusions, or one fusion under several settings. Records lie at
``<folder>/<experiment>/<variant>/seed-<seed>.json`` and have the schema ``run/2``; the trained weights lie beside them.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmfusion import records
from mmfusion.models import PAPER_CHANNELS, PAPER_WIDTHS, MultimodalAutoencoder, parameter_count, specs_for
from mmfusion.objectives import baseline_errors
from mmfusion.training import Adjust, Corrupt, Measure, Settings, check_seeds, train

SCHEMA = "run/2"
KEYS = (
    "experiment", "variant", "dataset", "fusion", "seed", "status", "config", "key", "parameters", "history",
    "provenance",
)  # fmt: skip
# What decides a run's numbers: changing any of these files makes earlier records stale.
_SOURCES = (
    "fusion.py",
    "latent_maps.py",
    "objectives.py",
    "training.py",
    "runs.py",
    "models/*.py",
    "data/corruption.py",
    "data/dataset.py",
    "data/prepare.py",
    "measure/autoencoder.py",
    "measure/certified.py",
    "measure/lipschitz.py",
    "measure/weights.py",
    "matched.py",
)


def build(
    samples: Mapping[str, Tensor],
    fusion: str,
    seed: int,
    *,
    channels: Sequence[int] = PAPER_CHANNELS,
    widths: Sequence[int] = PAPER_WIDTHS,
    fusion_options: Mapping[str, Any] | None = None,
) -> MultimodalAutoencoder:
    """An untrained autoencoder that fits the samples; its weights follow from the seed alone.

    Raises
    ------
    ValueError : unknown fusion, samples that no encoder fits, an image too small for the channels.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(check_seeds([seed])[0])
        return MultimodalAutoencoder(specs_for(samples, channels, widths), fusion, **(fusion_options or {}))


def run(
    dataset: Mapping[str, Any],
    train_set: Mapping[str, Tensor],
    test_set: Mapping[str, Tensor],
    fusion: str,
    seed: int,
    settings: Settings,
    *,
    channels: Sequence[int] = PAPER_CHANNELS,
    widths: Sequence[int] = PAPER_WIDTHS,
    fusion_options: Mapping[str, Any] | None = None,
    severity: float = 0.0,
    corrupt: Corrupt | None = None,
    measure: Measure | None = None,
    watch: Measure | None = None,
    adjust: Adjust | None = None,
    adjusted: Mapping[str, Any] | None = None,
    experiment: str | None = None,
    variant: str | None = None,
    folder: str | PathLike | None = None,
    checkpoints: str | PathLike | None = None,
    facts: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train one model and return its record; with a folder, also write it and the trained weights there.

    Its ``baseline`` holds, for each modality, the test error of predicting the training mean: the unit of R².

    A record that is already in the folder and was made with the same configuration, data and source is returned as it
    is. An interrupted run with ``checkpoints`` continues where it stopped; its checkpoint goes when the record is safe.

    Parameters
    ----------
    dataset : at least ``name`` and ``digest``.
    experiment, variant : where the record belongs; by default the data set's name and the fusion.
    train_set, test_set, settings, measure, watch, adjust, progress : see :func:`mmfusion.training.train`.
    channels, widths, fusion_options : see :class:`mmfusion.models.MultimodalAutoencoder`.
    corrupt, severity : the corruption of the inputs, and the number that names its strength in the record.
    adjusted : what ``adjust`` does, for the record: the same function under other numbers is another run.
    folder, checkpoints : where records and checkpoints lie; ``None`` writes none.
    facts : further provenance, such as the profile.

    Raises
    ------
    ValueError : bad configuration or data; a record or checkpoint that is truncated or cannot be written.
    """
    missing = [name for name in ("name", "digest") if name not in dataset]
    if missing:
        raise ValueError(f"a data set needs a name and a digest; missing: {missing}")
    if (adjust is None) != (adjusted is None):
        raise ValueError("adjust and adjusted go together: the record must say what changed the weights")
    experiment, variant = experiment or dataset["name"], variant or fusion
    model = build(train_set, fusion, seed, channels=channels, widths=widths, fusion_options=fusion_options)
    config = {
        **asdict(settings),
        "channels": list(channels),
        "widths": list(widths),
        "latent": model.latent,
        "fusion_options": dict(fusion_options or {}),
        "severity": severity,
        "measured": measure is not None,
        "watched": watch is not None,
        "adjusted": dict(adjusted or {}),
        "samples": {"train": _length(train_set), "test": _length(test_set)},
    }
    shapes = {name: list(tensor.shape[1:]) for name, tensor in train_set.items()}
    source = source_digest()
    key = identity(config, shapes, dataset["digest"], fusion, seed, source, records.release(torch))
    path = record_path(folder, experiment, variant, seed) if folder is not None else None
    if path is not None and path.exists() and path.with_suffix(".pt").exists():
        record = records.read(path, SCHEMA, KEYS)
        if record["key"] == key:
            return record
    checkpoint = record_path(checkpoints, experiment, variant, seed, "pt") if checkpoints is not None else None
    result = train(
        model,
        train_set,
        test_set,
        settings,
        seed,
        corrupt=corrupt,
        measure=measure,
        watch=watch,
        adjust=adjust,
        checkpoint=checkpoint,
        key=key,
        progress=progress,
    )
    record = {
        "schema": SCHEMA,
        "experiment": experiment,
        "variant": variant,
        "dataset": dict(dataset),
        "modalities": shapes,
        "fusion": fusion,
        "seed": seed,
        "status": result.status,
        "diverged_at": result.diverged_at,
        "config": config,
        "key": key,
        "parameters": parameter_count(model),
        "baseline": baseline_errors(train_set, test_set),
        "history": result.history,
        "provenance": records.provenance(
            **(facts or {}),
            dataset=dataset["name"],
            dataset_digest=dataset["digest"],
            seed=seed,
            device=settings.device,
            source=source,
            **records.hardware(settings.device),
        ),
    }
    if path is not None:
        _save_weights(path.with_suffix(".pt"), model, key)
        records.write(path, record)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return record


def identity(
    config: Mapping[str, Any], shapes: Mapping[str, Any], data: str, fusion: str, seed: int, source: str, torch_: str
) -> str:
    """Digest of all that decides a run's numbers: what a record's ``key`` must be.

    ``shapes`` of one sample of each modality, ``data`` the data set's digest, ``source`` that of :func:`source_digest`,
    ``torch_`` the release of PyTorch. Where a run was made does not enter, so that it may move between machines.
    """
    return records.digest(
        {
            "config": config, "modalities": shapes, "dataset": data, "fusion": fusion, "seed": seed, "source": source,
            "torch": torch_,
        }
    )  # fmt: skip


def trained(record: Mapping[str, Any], folder: str | PathLike) -> MultimodalAutoencoder:
    """The trained model of a record, on the CPU in evaluation mode, from the weights beside the record.

    Raises
    ------
    ValueError : the weights are missing, truncated, or of another run; the message names the file.
    """
    path = record_path(folder, record["experiment"], record["variant"], record["seed"], "pt")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        key, weights = state["key"], state["weights"]
    except FileNotFoundError as error:
        raise ValueError(f"no weights at {path}; run the training again with the same parameters") from error
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is truncated or holds no weights; delete it and train again") from error
    if key != record["key"]:
        raise ValueError(f"{path} belongs to another run than its record; delete both and train again")
    config = record["config"]
    samples = {name: torch.empty(0, *shape) for name, shape in record["modalities"].items()}
    model = build(
        samples, record["fusion"], record["seed"],
        channels=config["channels"], widths=config["widths"], fusion_options=config["fusion_options"],
    )  # fmt: skip
    model.load_state_dict(weights)
    return model.eval()


def _save_weights(path: Path, model: MultimodalAutoencoder, key: str) -> None:
    buffer = io.BytesIO()
    torch.save({"key": key, "weights": {name: tensor.cpu() for name, tensor in model.state_dict().items()}}, buffer)
    records.write_bytes(path, buffer.getvalue())


def record_path(folder: str | PathLike, experiment: str, variant: str, seed: int, suffix: str = "json") -> Path:
    """Where the record of a run lies. Raises ``ValueError`` for names that are no plain folder names."""
    for name in (experiment, variant):
        if not name or name in (".", "..") or set(name) & set("/\\"):
            raise ValueError(f"experiment and variant must be plain names, got {name!r}")
    return Path(folder) / experiment / variant / f"seed-{seed}.{suffix}"


def read_runs(
    folder: str | PathLike, experiment: str, variants: Sequence[str], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Records of all the runs of the given variants and seeds, in that order.

    Raises
    ------
    ValueError : a record is missing or broken; the message names the file.
    """
    return [
        records.read(record_path(folder, experiment, variant, seed), SCHEMA, KEYS)
        for variant in variants
        for seed in seeds
    ]


def table(runs: Sequence[Mapping[str, Any]]) -> Any:
    """The histories of many runs as one long data frame.

    Columns: ``variant, seed, status, epoch, kind`` (``train``, ``test`` or ``measures``), ``name`` (modality, ``total``
    or the measure's name) and ``value``. A diverged run ends before the epoch in which it diverged: select on
    ``status`` before averaging.
    """
    import pandas

    rows = [
        (run["variant"], run["seed"], run["status"], entry["epoch"], kind, name, value)
        for run in runs
        for entry in run["history"]
        for kind in ("train", "test", "measures")
        for name, value in entry[kind].items()
    ]
    frame = pandas.DataFrame(rows, columns=["variant", "seed", "status", "epoch", "kind", "name", "value"])
    return frame.astype({"value": float})


def source_digest() -> str:
    """SHA-256 of the package's files that decide a run's numbers."""
    root = Path(__file__).resolve().parent
    total = hashlib.sha256()
    for path in sorted(path for pattern in _SOURCES for path in root.glob(pattern)):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def _length(data: Mapping[str, Tensor]) -> int:
    return len(next(iter(data.values()), ()))
