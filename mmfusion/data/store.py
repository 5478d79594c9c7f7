"""Data sets on disk: one ``.npz`` each, written whole or not at all, checked against its hash when read."""

import hashlib
import json
import os
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmfusion import records


class DataError(ValueError):
    """A data set cannot be read, written or made; the message is one line and says what to do."""


def default_root() -> Path:
    """Where data sets are kept: ``$MMFUSION_CACHE``, or ``mmfusion`` in the user's cache folder."""
    chosen = os.environ.get("MMFUSION_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "mmfusion"


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and contents of the arrays, in the order of their names."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        total.update(memoryview(array.reshape(-1)).cast("B"))
    return total.hexdigest()


def prepare(root: Path) -> None:
    """Make the folder and see that it can be written, before any long work. Raises `DataError`."""
    try:
        records.prepare(root, "data")
    except records.RecordError as error:
        raise DataError(str(error)) from error


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping) -> None:
    """Write arrays and metadata to ``path`` in one step: a reader sees the whole file or none.

    Raises `DataError` where the disk is full or writing is not allowed; nothing is left behind in any case.
    """
    header = np.array(json.dumps(dict(metadata), sort_keys=True))
    try:
        with records.replacing(path) as stream:
            np.savez_compressed(stream, metadata=header, **arrays)
    except records.RecordError as error:
        raise DataError(f"{error}; nothing was left behind") from error


def read(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays and metadata of a file that `write` made, its hash verified.

    Raises ``FileNotFoundError`` where there is no file, `DataError` where there is anything else.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        metadata = json.loads(str(arrays.pop("metadata")))
        wanted = metadata["digest"]
    except (FileNotFoundError, NotADirectoryError):
        raise
    except PermissionError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError,
            zipfile.BadZipFile, zlib.error, NotImplementedError) as error:  # fmt: skip
        raise DataError(
            f"{path} is truncated, damaged or not a data set of mmfusion ({type(error).__name__}); "
            "delete or move the file, or choose another folder"
        ) from error
    found = digest(arrays)
    if found != wanted:
        raise DataError(
            f"{path} is damaged: its contents hash to {found[:12]}, its label says {str(wanted)[:12]}; "
            "delete or move the file, or choose another folder"
        )
    return arrays, metadata
