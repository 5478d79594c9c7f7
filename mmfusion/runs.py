"""A run: one fusion, one seed, one data set; trained once, recorded in one file, and read back for comparison.

Records lie at ``<folder>/<data set>/<fusion>/seed-<seed>.json`` and have the schema ``run/1``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmfusion import records
from mmfusion.models import PAPER_CHANNELS, PAPER_WIDTHS, MultimodalAutoencoder, parameter_count, specs_for
from mmfusion.training import Corrupt, Measure, Settings, check_seeds, train

SCHEMA = "run/1"
KEYS = ("dataset", "fusion", "seed", "status", "config", "key", "parameters", "history", "provenance")
# What decides a run's numbers: changing any of these files makes earlier records stale.
_SOURCES = (
    "fusion.py",
    "latent_maps.py",
    "objectives.py",
    "training.py",
    "runs.py",
    "models/*.py",
    "data/*.py",
    "measure/*.py",
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
    folder: str | PathLike | None = None,
    checkpoints: str | PathLike | None = None,
    facts: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train one model and return its record; with a folder, also write it there.

    A record that is already in the folder and was made with the same configuration, data and source is returned as it
    is. An interrupted run with ``checkpoints`` continues where it stopped; its checkpoint goes when the record is safe.

    Parameters
    ----------
    dataset : at least ``name`` and ``digest``.
    train_set, test_set, settings, measure, progress : see :func:`mmfusion.training.train`.
    channels, widths, fusion_options : see :class:`mmfusion.models.MultimodalAutoencoder`.
    corrupt, severity : the corruption of the inputs, and the number that names its strength in the record.
    folder, checkpoints : where records and checkpoints lie; ``None`` writes none.
    facts : further provenance, such as the profile.

    Raises
    ------
    ValueError : bad configuration or data; a record or checkpoint that is truncated or cannot be written.
    """
    missing = [name for name in ("name", "digest") if name not in dataset]
    if missing:
        raise ValueError(f"a data set needs a name and a digest; missing: {missing}")
    model = build(train_set, fusion, seed, channels=channels, widths=widths, fusion_options=fusion_options)
    config = {
        **asdict(settings),
        "channels": list(channels),
        "widths": list(widths),
        "latent": model.latent,
        "fusion_options": dict(fusion_options or {}),
        "severity": severity,
        "measured": measure is not None,
        "samples": {"train": _length(train_set), "test": _length(test_set)},
    }
    key = records.digest(
        {
            "config": config,
            "dataset": dataset["digest"],
            "fusion": fusion,
            "seed": seed,
            "source": source_digest(),
            "torch": torch.__version__,
        }
    )
    path = record_path(folder, dataset["name"], fusion, seed) if folder is not None else None
    if path is not None and path.exists():
        record = records.read(path, SCHEMA, KEYS)
        if record["key"] == key:
            return record
    checkpoint = record_path(checkpoints, dataset["name"], fusion, seed, "pt") if checkpoints is not None else None
    result = train(
        model,
        train_set,
        test_set,
        settings,
        seed,
        corrupt=corrupt,
        measure=measure,
        checkpoint=checkpoint,
        key=key,
        progress=progress,
    )
    record = {
        "schema": SCHEMA,
        "dataset": dict(dataset),
        "fusion": fusion,
        "seed": seed,
        "status": result.status,
        "diverged_at": result.diverged_at,
        "config": config,
        "key": key,
        "parameters": parameter_count(model),
        "history": result.history,
        "provenance": records.provenance(
            **(facts or {}),
            dataset=dataset["name"],
            dataset_digest=dataset["digest"],
            seed=seed,
            device=settings.device,
        ),
    }
    if path is not None:
        records.write(path, record)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return record


def record_path(folder: str | PathLike, dataset: str, fusion: str, seed: int, suffix: str = "json") -> Path:
    """Where the record of a run lies."""
    return Path(folder) / dataset / fusion / f"seed-{seed}.{suffix}"


def read_runs(
    folder: str | PathLike, dataset: str, fusions: Sequence[str], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Records of all the runs of the given fusions and seeds, in that order.

    Raises
    ------
    ValueError : a record is missing or broken; the message names the file.
    """
    return [
        records.read(record_path(folder, dataset, fusion, seed), SCHEMA, KEYS) for fusion in fusions for seed in seeds
    ]


def table(runs: Sequence[Mapping[str, Any]]) -> Any:
    """The histories of many runs as one long data frame.

    Columns: ``fusion, seed, status, epoch, kind`` (``train``, ``test`` or ``measures``), ``name`` (modality, ``total``
    or the measure's name) and ``value``. A diverged run ends before the epoch in which it diverged: select on
    ``status`` before averaging.
    """
    import pandas

    rows = [
        (run["fusion"], run["seed"], run["status"], entry["epoch"], kind, name, value)
        for run in runs
        for entry in run["history"]
        for kind in ("train", "test", "measures")
        for name, value in entry[kind].items()
    ]
    frame = pandas.DataFrame(rows, columns=["fusion", "seed", "status", "epoch", "kind", "name", "value"])
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
