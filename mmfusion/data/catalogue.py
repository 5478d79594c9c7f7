"""The data sets by name: generate once, keep on disk, read from there afterwards."""

import numbers
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmfusion.data import scene, store
from mmfusion.data.dataset import MultimodalDataset
from mmfusion.data.store import DataError


@dataclass(frozen=True)
class Recipe:
    """How a data set is made.

    ``generate(frames, size, seed, advance)`` returns its arrays and what to note about them.
    """

    version: int
    generate: Callable[..., tuple[dict[str, np.ndarray], dict]]


def _pick_and_place(frames: int, size: int, seed: int, advance: Callable) -> tuple[dict[str, np.ndarray], dict]:
    try:
        import mujoco

        from mmfusion.data import simulated
    except ImportError as error:
        raise DataError("pick-and-place is simulated with mujoco: pip install 'mmfusion[data]'") from error
    notes = {
        "channels": {"sensor": list(simulated.FEATURES)},
        "window": simulated.WINDOW,
        "stride": simulated.STRIDE,
        "period": simulated.PERIOD,
        "mujoco": mujoco.__version__,
    }
    return simulated.generate(frames, size, seed, advance), notes


DATASETS = {"pick-and-place": Recipe(scene.VERSION, _pick_and_place)}


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
) -> Stored:
    """As `load`, and also says where the file is and how long making it took."""
    if name not in DATASETS:
        raise DataError(f"unknown data set {name!r}; known: {', '.join(sorted(DATASETS))}")
    recipe = DATASETS[name]
    frames, size, seed = _whole(frames, "frames", 1), _whole(size, "size", 8), _whole(seed, "seed", 0)
    wanted = {"name": name, "frames": frames, "size": size, "seed": seed, "version": recipe.version}
    root = store.default_root() if root is None else Path(root)
    path = root / f"{name}-v{recipe.version}-f{frames}-p{size}-s{seed}.npz"
    try:
        return Stored(_dataset(path, wanted, *store.read(path)), path, None)
    except (FileNotFoundError, NotADirectoryError):
        pass
    store.prepare(root)
    from tqdm import tqdm

    began = time.perf_counter()
    hidden = None if progress is None else not progress  # None: shown on a terminal only
    with tqdm(total=frames, desc=name, unit="frame", disable=hidden, leave=False) as bar:
        try:
            arrays, notes = recipe.generate(frames, size, seed, bar.update)
        except MemoryError as error:
            raise DataError(
                f"{frames} frames of {size} x {size} pixels do not fit into memory; ask for less"
            ) from error
    seconds = time.perf_counter() - began
    metadata = {**notes, **wanted, "digest": store.digest(arrays)}
    store.write(path, arrays, metadata)
    return Stored(_dataset(path, wanted, arrays, metadata), path, seconds)


def load(
    name: str,
    root: str | Path | None = None,
    frames: int = 500,
    size: int = 64,
    seed: int = 0,
    progress: bool | None = None,
) -> MultimodalDataset:
    """A data set by name, from the disk if it is there, else generated and kept.

    Parameters
    ----------
    name : ``pick-and-place``.
    root : folder that holds the files; default `store.default_root`.
    frames : number of pictures, each with its window; taken from as many episodes as needed.
    size : pixels per side, at least 8.
    seed : whole number ≥ 0; the same seed and software give the same data.
    progress : show a bar; by default only on a terminal.

    Raises
    ------
    DataError (a ``ValueError``)
        the name is unknown, the folder cannot be written, the disk is full, or the file there is truncated,
        damaged or not ours. A file that is in the way is never replaced.
    """
    return obtain(name, root, frames, size, seed, progress).dataset


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
