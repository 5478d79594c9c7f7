"""The data sets by name: generated or read from the user's folder once, kept on disk, read from there afterwards."""

import numbers
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmfusion.data import published, scenes, store
from mmfusion.data.dataset import MultimodalDataset
from mmfusion.data.store import DataError


@dataclass(frozen=True)
class Recipe:
    """How a data set is made.

    ``generate(frames, size, seed, advance)`` returns its arrays and what to note about them.
    """

    version: int
    generate: Callable[..., tuple[dict[str, np.ndarray], dict]]


def _simulated(name: str) -> Recipe:
    """A scene of `mmfusion.data.scenes` as a data set."""

    def generate(frames: int, size: int, seed: int, advance: Callable) -> tuple[dict[str, np.ndarray], dict]:
        try:
            import mujoco  # noqa: F401

            from mmfusion.data import simulated
        except ImportError as error:
            raise DataError(f"{name} is simulated with mujoco: pip install 'mmfusion[data]'") from error
        return simulated.generate(lambda: scenes.build(name), frames, size, seed, advance)

    return Recipe(scenes.VERSIONS[name], generate)


DATASETS = {name: _simulated(name) for name in scenes.VERSIONS}


def known() -> str:
    """Names of all data sets, the generated ones first."""
    return ", ".join([*DATASETS, *published.READERS])


@dataclass(frozen=True)
class Stored:
    """A data set, the file that holds it, and the seconds that making it took (None: it was there already)."""

    dataset: MultimodalDataset
    path: Path
    seconds: float | None


def _whole(value: object, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def obtain(
    name: str,
    root: str | Path | None = None,
    frames: int = 500,
    size: int = 64,
    seed: int = 0,
    progress: bool | None = None,
    options: Mapping | None = None,
) -> Stored:
    """As `load`, and also says where the file is and how long making it took."""
    if name not in DATASETS and name not in published.READERS:
        raise DataError(f"unknown data set {name!r}; known: {known()}")
    frames, size, seed = _whole(frames, "frames", 1), _whole(size, "size", 8), _whole(seed, "seed", 0)
    from tqdm import tqdm

    hidden = None if progress is None else not progress  # None: shown on a terminal only
    with tqdm(total=frames, desc=name, unit="frame", disable=hidden, leave=False) as bar:
        try:
            if name in published.READERS:
                return _published(name, root, frames, size, seed, options or {}, bar.update)
            if options:
                raise DataError(f"{name} is generated and takes no options, got {', '.join(sorted(options))}")
            return _generated(name, root, frames, size, seed, bar.update)
        except MemoryError as error:
            raise DataError(
                f"{frames} frames of {size} x {size} pixels do not fit into memory; ask for less"
            ) from error


def _generated(name: str, root: str | Path | None, frames: int, size: int, seed: int, advance: Callable) -> Stored:
    recipe = DATASETS[name]
    wanted = {"name": name, "frames": frames, "size": size, "seed": seed, "version": recipe.version}
    root = store.default_root() if root is None else Path(root)
    path = root / f"{name}-v{recipe.version}-f{frames}-p{size}-s{seed}.npz"
    try:
        return Stored(_dataset(path, wanted, *store.read(path)), path, None)
    except (FileNotFoundError, NotADirectoryError):
        pass
    store.prepare(root)
    began = time.perf_counter()
    arrays, notes = recipe.generate(frames, size, seed, advance)
    seconds = time.perf_counter() - began
    metadata = {**notes, **wanted, "digest": store.digest(arrays)}
    store.write(path, arrays, metadata)
    return Stored(_dataset(path, wanted, arrays, metadata), path, seconds)


def _published(
    name: str, root: str | Path | None, frames: int, size: int, seed: int, options: Mapping, advance: Callable
) -> Stored:
    arrays, metadata, path, seconds = published.read(name, root, frames, size, seed, options, advance)
    return Stored(_dataset(path, {"name": name}, arrays, metadata), path, seconds)


def load(
    name: str,
    root: str | Path | None = None,
    frames: int = 500,
    size: int = 64,
    seed: int = 0,
    progress: bool | None = None,
    options: Mapping | None = None,
) -> MultimodalDataset:
    """A data set by name, from the disk if it is there, else made and kept.

    Parameters
    ----------
    name : one of `DATASETS`, which are generated, or of `published.READERS`, which are read from a user's folder.
    root : generated: the folder that holds the files, by default `store.default_root`. Published: the user's folder,
        which is only read; what was decoded is kept in `store.default_root`, by the contents of the files read.
    frames : number of pictures, each with its windows; taken from as many episodes as needed. Published: at most so
        many, evenly over recordings.
    size : pixels per side, at least 8.
    seed : whole number ≥ 0; the same seed and software give the same data. Published: draws the recordings read.
    progress : show a bar; by default only on a terminal.
    options : what a published set lets one choose, such as ``camera``; see its reader.

    Raises
    ------
    DataError (a ``ValueError``)
        the name is unknown, the folder cannot be written, the disk is full, or a file is missing, truncated,
        damaged, mislabelled or foreign. A file that is in the way is never replaced.
    """
    return obtain(name, root, frames, size, seed, progress, options).dataset


def _dataset(path: Path, wanted: dict, arrays: dict[str, np.ndarray], metadata: dict) -> MultimodalDataset:
    """The data set in a file's contents, provided that they are what was asked for."""
    label = {key: metadata.get(key) for key in wanted}
    if label != wanted:
        raise DataError(f"{path} holds {label}, wanted {wanted}; move the file or choose another folder")
    notes = {key: value for key, value in metadata.items() if key not in ("digest", "channels")}
    try:
        return MultimodalDataset(
            modalities={name: array for name, array in arrays.items() if name != "episode"},
            episode=arrays["episode"],
            channels={name: tuple(names) for name, names in metadata["channels"].items()},
            digest=metadata["digest"],
            parameters=notes,
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a data set of mmfusion: {error}; move it or choose another folder") from error
