"""Read a profile and check it at the door: every parameter there, none unknown, every value possible.

    python workflow/settings.py profiles/quick.yml        exit code 0, or one line that says what is wrong

What needs no package is checked whenever the Snakefile is read; the rest (fusion, device, picture size, ...) once, by
the first job.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jupytext
import yaml

TRAINING = Path(__file__).resolve().parents[1] / "notebooks/lipschitz/train.md"
# Parameters of the training page that the pipeline sets by itself.
OWN = {"profile", "data_root", "data_seed", "frames", "image_size", "fusion", "records", "checkpoints"}


class ProfileError(ValueError):
    """A profile that is missing, not YAML, incomplete or impossible."""


def parameters(notebook: Path) -> set[str]:
    """Names that the cell tagged `parameters` sets."""
    for cell in jupytext.read(notebook).cells:
        if "parameters" in cell.metadata.get("tags", []):
            return {target.id for node in ast.parse(cell.source).body for target in node.targets}
    return set()


def read(path: str | Path) -> dict[str, Any]:
    """The profile at `path`, its parameters complete. Raises `ProfileError`."""
    path = Path(path)
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.yml")))
        raise ProfileError(f"unknown profile {path.stem!r}; there are {known}")
    try:
        profile = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ProfileError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    _complete(path, "", profile, {"name", "publish", "theory", "data", "train"})
    _complete(path, "theory: ", profile["theory"], {"starts", "seed"})
    _complete(path, "data: ", profile["data"], {"frames", "size", "seed"})
    _complete(path, "train: ", profile["train"], parameters(TRAINING) - OWN | {"fusions"})
    return profile


def _complete(path: Path, where: str, given: Any, wanted: Iterable[str]) -> None:
    if not isinstance(given, dict):
        raise ProfileError(f"{path}: {where}wanted {', '.join(sorted(wanted))}; got {given!r}")
    missing, unknown = sorted(set(wanted) - given.keys()), sorted(given.keys() - set(wanted))
    if missing or unknown:
        said = [f"{word}: {', '.join(names)}" for word, names in (("missing", missing), ("unknown", unknown)) if names]
        raise ProfileError(f"{path}: {where}{'; '.join(said)}")


def check_values(profile: dict[str, Any]) -> None:
    """Whether a training run could start with these values. Raises ``ValueError``."""
    import torch

    from mmfusion.data import catalogue
    from mmfusion.fusion import FUSIONS
    from mmfusion.models import ImageSpec, VectorSpec
    from mmfusion.training import Settings, check_seeds

    train = profile["train"]
    if train["dataset"] not in catalogue.DATASETS:
        raise ValueError(f"unknown data set {train['dataset']!r}; known: {', '.join(catalogue.DATASETS)}")
    unknown = [name for name in train["fusions"] or [] if name not in FUSIONS]
    if unknown or not isinstance(train["fusions"], list) or not train["fusions"]:
        raise ValueError(f"fusions must be a list of some of {list(FUSIONS)}, got {train['fusions']!r}")
    check_seeds(train["seeds"])
    names = ("epochs", "batch_size", "learning_rate", "weight_l2", "measure_every", "mixed_precision")
    Settings(**{name: train[name] for name in names})
    try:
        # Only its name: on a cluster this job need not run where the training does.
        device = torch.device(train["device"]).type
    except (RuntimeError, TypeError):
        device = None
    if device not in ("cpu", "cuda", "mps"):
        raise ValueError(f"unknown device {train['device']!r}; wants cpu, cuda, cuda:<index> or mps")
    ImageSpec(profile["data"]["size"], train["channels"])
    VectorSpec(1, train["widths"])
    for name, (low, high) in {"severity": (0, 1), "test_fraction": (0, 1)}.items():
        if not isinstance(train[name], (int, float)) or not low <= train[name] <= high:
            raise ValueError(f"{name} must lie between {low} and {high}, got {train[name]!r}")


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
