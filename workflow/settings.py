"""Read experiments and a profile, and check them at the door: every parameter there, none unknown, all possible.

    python workflow/settings.py profiles/quick.yml        exit code 0, or one line that says what is wrong

What needs no package is checked whenever the Snakefile is read; the rest (fusion, device, picture size, ...) once, by
the first job.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
import yaml

ROOT = Path(__file__).resolve().parents[1]
TRAINING = ROOT / "notebooks/lipschitz/train.md"
EXPERIMENTS = ROOT / "experiments.yml"
# Parameters of the training page that are no setting of the training: the pipeline sets them by itself.
OWN = {
    "profile", "dataset", "data_root", "data_seed", "frames", "image_size", "modalities", "experiment", "variant",
    "variants", "fusion", "fusion_options", "penalise", "matched_to", "records", "checkpoints",
}  # fmt: skip
# What a variant may say.
VARIED = ("fusion", "fusion_options", "learning_rate", "weight_l2", "penalise", "matched_to")


class ProfileError(ValueError):
    """A profile or list of experiments that is missing, not YAML, incomplete or impossible."""


def parameters(notebook: Path) -> set[str]:
    """Names that the cell tagged `parameters` sets."""
    return set(_parameters(notebook.read_text(encoding="utf-8")))


@cache
def _parameters(text: str) -> frozenset[str]:
    """Each text is read once a process."""
    for cell in jupytext.reads(text, fmt="md:myst").cells:
        if "parameters" in cell.metadata.get("tags", []):
            return frozenset(target.id for node in ast.parse(cell.source).body for target in node.targets)
    return frozenset()


def read(path: str | Path, experiments: str | Path = EXPERIMENTS) -> dict[str, Any]:
    """The profile at `path`, with its experiments complete.

    Each experiment comes back as ``{"dataset", "modalities", "variants": {name: {fusion, ...}}, "train": {parameters of
    the training page}, "jobs": [[variants that one page trains], ...]}``. Raises `ProfileError`.
    """
    path, experiments = Path(path), Path(experiments)
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.yml")))
        raise ProfileError(f"unknown profile {path.stem!r}; there are {known}")
    profile, stated = _yaml(path), _yaml(experiments)
    if not isinstance(stated, dict) or not stated:
        raise ProfileError(f"{experiments}: wanted experiments by name, got {stated!r}")
    parts = {"name", "publish", "trials_at_once", "theory", "gallery", "data", "train", "experiments"}
    _complete(path, "", profile, parts)
    _complete(path, "theory: ", profile["theory"], {"starts", "seed"})
    _complete(path, "gallery: ", profile["gallery"], {"frames", "size"})
    _complete(path, "experiments: ", profile["experiments"], stated)
    settings = parameters(TRAINING) - OWN
    _complete(path, "train: ", profile["train"], settings)
    if not isinstance(profile["publish"], bool):
        raise ProfileError(f"{path}: publish must be true or false, got {profile['publish']!r}")
    at_once = profile["trials_at_once"]
    if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 0:
        raise ProfileError(f"{path}: trials_at_once must be a whole number from 0, got {at_once!r}")
    if not isinstance(profile["data"], dict):
        raise ProfileError(f"{path}: data: wanted a size for every data set, got {profile['data']!r}")
    for name, sizes in profile["data"].items():
        _complete(path, f"data: {name}: ", sizes, {"frames", "size", "seed"}, {"root"})
    whole = {}
    for name, own in profile["experiments"].items():
        own = {} if own is None else own
        _complete(path, f"experiments: {name}: ", own, (), settings | {"dataset", "variants_per_job"})
        whole[name] = _experiment(path, experiments, name, stated[name], own, profile)
    return {**profile, "experiments": whole}


def _experiment(path: Path, source: Path, name: str, stated: Any, own: dict, profile: dict) -> dict[str, Any]:
    where = f"{name}: "
    _complete(source, where, stated, {"dataset", "modalities"}, {"variants", "grid"})
    dataset = own.get("dataset", stated["dataset"])
    if not isinstance(dataset, str) or dataset not in profile["data"]:
        raise ProfileError(f"{path}: experiments: {where}data set {dataset!r} has no size under data")
    modalities = stated["modalities"]
    if not isinstance(modalities, list) or not modalities or any(modalities.count(name) > 1 for name in modalities):
        raise ProfileError(f"{source}: {where}modalities must be a list of names, each once, got {modalities!r}")
    listed = {} if stated.get("variants") is None else stated["variants"]
    for part, given in {"variants": listed, **(listed if isinstance(listed, dict) else {})}.items():
        if given is not None and not isinstance(given, dict):
            raise ProfileError(f"{source}: {where}{part}: wanted settings by name, or nothing, got {given!r}")
    variants = {key: {"fusion": key, **(value or {})} for key, value in listed.items()}
    if "grid" in stated:
        grid = stated["grid"]
        _complete(source, f"{where}grid: ", grid, {"fusions", "learning_rates"})
        if not isinstance(grid["fusions"], list) or not isinstance(grid["learning_rates"], dict):
            raise ProfileError(
                f"{source}: {where}grid: wanted a list of fusions and learning_rates by name, got {grid!r}"
            )
        variants |= {
            f"{fusion}-lr-{label}": {"fusion": fusion, "learning_rate": rate}
            for fusion in grid["fusions"]
            for label, rate in grid["learning_rates"].items()
        }
    if not variants:
        raise ProfileError(f"{source}: {where}no variants")
    for key, value in variants.items():
        if not isinstance(key, str) or not re.fullmatch(r"\w[\w.-]*", key):
            raise ProfileError(
                f"{source}: {where}a variant names a folder; wanted letters, digits, . and -, got {key!r}"
            )
        _complete(source, f"{where}{key}: ", value, {"fusion"}, VARIED)
        _matched(f"{source}: {where}{key}: ", value, variants, profile["train"]["weight_l2"])
    each = own.get("variants_per_job", 1)
    if isinstance(each, bool) or not isinstance(each, int) or each < 1:
        raise ProfileError(f"{path}: experiments: {where}variants_per_job must be a whole number from 1, got {each!r}")
    free = [key for key, value in variants.items() if not value.get("matched_to")]
    bound = [key for key in variants if key not in free]
    jobs = [part[at : at + each] for part in (free, bound) for at in range(0, len(part), each)]
    train = {**profile["train"], **{k: v for k, v in own.items() if k not in ("dataset", "variants_per_job")}}
    return {
        "dataset": dataset, "modalities": stated["modalities"], "variants": variants, "train": train, "jobs": jobs,
    }  # fmt: skip


def _matched(where: str, variant: dict, variants: dict[str, dict], weight_l2: Any) -> None:
    """A control follows a variant that follows none, of its own fusion, and has no penalty."""
    followed = variant.get("matched_to")
    if followed is None:
        return
    free = [name for name, other in variants.items() if not other.get("matched_to")]
    if followed not in free:
        raise ProfileError(f"{where}matched_to names {followed!r}, which is no free variant")
    if variants[followed]["fusion"] != variant["fusion"] or variant.get("weight_l2", weight_l2) != 0:
        raise ProfileError(f"{where}what is matched to {followed!r} has its fusion and weight_l2 0, got {variant!r}")


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ProfileError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


def _complete(path: Path, where: str, given: Any, wanted: Iterable[str], allowed: Iterable[str] = ()) -> None:
    """Everything wanted is there, and nothing but what is wanted or allowed."""
    if not isinstance(given, dict):
        names = ", ".join(sorted({*wanted, *allowed}))
        raise ProfileError(f"{path}: {where}wanted a mapping of {names}; got {given!r}")
    missing, unknown = sorted(set(wanted) - given.keys()), sorted(given.keys() - set(wanted) - set(allowed))
    if missing or unknown:
        said = [f"{word}: {', '.join(names)}" for word, names in (("missing", missing), ("unknown", unknown)) if names]
        raise ProfileError(f"{path}: {where}{'; '.join(said)}")


def check_values(profile: dict[str, Any]) -> None:
    """Whether the training runs could start with these values. Raises ``ValueError``."""
    from mmfusion.data import catalogue, published

    for dataset, sizes in profile["data"].items():
        if dataset not in (known := [*catalogue.DATASETS, *published.READERS]):
            raise ValueError(f"unknown data set {dataset!r}; known: {', '.join(known)}")
        if (dataset in published.READERS) != ("root" in sizes):
            raise ValueError(
                f"data: {dataset}: root, the folder of its files, is for published data sets and only for them"
            )
        _whole(f"data: {dataset}: ", sizes, {"frames": 1, "size": 8, "seed": 0})
    _whole("theory: ", profile["theory"], {"starts": 1, "seed": 0})
    _whole("gallery: ", profile["gallery"], {"frames": 1, "size": 8})
    for name, experiment in profile["experiments"].items():
        try:
            _check_training(experiment, profile["data"][experiment["dataset"]]["size"])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name}: {error}") from error


def _whole(where: str, given: dict[str, Any], least: dict[str, int]) -> None:
    for name, lowest in least.items():
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ValueError(f"{where}{name} must be a whole number of at least {lowest}, got {value!r}")


def _check_training(experiment: dict[str, Any], size: int) -> None:
    import torch

    from mmfusion.fusion import FUSIONS, make_fusion
    from mmfusion.models import ImageSpec, VectorSpec
    from mmfusion.training import Settings, check_seeds

    train = experiment["train"]
    check_seeds(train["seeds"])
    _whole("", train, {"measure_samples": 1, "measure_iterations": 1})
    for name in ("mixed_precision", "compile"):
        if not isinstance(train[name], bool):
            raise ValueError(f"{name} must be true or false, got {train[name]!r}")
    for name in ("channels", "widths"):
        if not isinstance(train[name], list):
            raise ValueError(f"{name} must be a list of whole numbers, got {train[name]!r}")
    names = ("epochs", "batch_size", "measure_every", "mixed_precision", "compile", "algorithms")
    for variant, own in experiment["variants"].items():
        if own["fusion"] not in FUSIONS:
            raise ValueError(f"{variant}: unknown fusion {own['fusion']!r}; wants one of {list(FUSIONS)}")
        rates = {name: own.get(name, train[name]) for name in ("learning_rate", "weight_l2")}
        try:
            make_fusion(own["fusion"], experiment["modalities"], 8, **(own.get("fusion_options") or {}))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{variant}: fusion_options {own.get('fusion_options')!r}: {error}") from error
        Settings(**{name: train[name] for name in names}, **rates, penalise=own.get("penalise", "fusion"))
    try:
        # Only its name: on a cluster this job need not run where the training does.
        device = torch.device(train["device"]).type
    except (RuntimeError, TypeError):
        device = None
    if device not in ("cpu", "cuda", "mps"):
        raise ValueError(f"unknown device {train['device']!r}; wants cpu, cuda, cuda:<index> or mps")
    ImageSpec(size, train["channels"])
    VectorSpec(1, train["widths"])
    for name in ("severity", "test_fraction"):
        value = train[name]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not (0 < value < 1 if name == "test_fraction" else 0 <= value <= 1):
            raise ValueError(f"{name} must lie between 0 and 1, got {value!r}")


def main(argv: list[str]) -> None:
    """Command line; see the module's text."""
    path = Path(argv[0])
    try:
        check_values(read(path))
    except (ValueError, TypeError) as error:
        message = str(error) if isinstance(error, ProfileError) else f"{path}: {error}"
        sys.exit(message)


if __name__ == "__main__":
    main(sys.argv[1:])
