"""Records on disk: JSON written atomically, checked when read, stamped with where they came from."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

__all__ = [
    "RecordError",
    "digest",
    "hardware",
    "prepare",
    "provenance",
    "read",
    "release",
    "replacing",
    "write",
    "write_bytes",
]


class RecordError(ValueError):
    """A record that is missing, truncated, foreign or cannot be written; the message names the file."""


def prepare(folder: str | os.PathLike, what: str = "records") -> Path:
    """Make a folder for `what` and see that it can be written, before long work. Raises `RecordError`."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RecordError(
            f"cannot write {what} to the folder {folder}: {error.strerror or error}; choose another folder"
        ) from error
    return Path(folder)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A stream whose content takes the place of the file at `path` once it is whole and on the disk.

    A reader sees the old file or the new one, never a part. Parent folders are made. Raises `RecordError` where the
    folder is not writable or the disk is full; the old file, if any, is then untouched and nothing is left behind.
    """
    path = Path(path)
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
        name = None
    except OSError as error:
        raise RecordError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        # Also after an interrupt, which is no OSError.
        if name is not None:
            with contextlib.suppress(OSError):
                os.unlink(name)


def write_bytes(path: str | os.PathLike, content: bytes) -> Path:
    """Write `content` to `path` at once, as `replacing` does."""
    with replacing(path) as stream:
        stream.write(content)
    return Path(path)


def _plain(value: Any) -> Any:
    """Turn NumPy and torch scalars and arrays, paths and SymPy expressions into what JSON holds."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "free_symbols"):
        return str(value)
    raise TypeError(f"a record holds numbers, text, lists and mappings, not {type(value).__name__}")


def write(path: str | os.PathLike, record: Mapping[str, Any]) -> Path:
    """Write one record as JSON, atomically. `record["schema"]` names its form, for example "run/1"."""
    if "schema" not in record:
        raise RecordError(f"record for {path} has no 'schema'")
    text = json.dumps(record, default=_plain, indent=1, ensure_ascii=False)
    return write_bytes(path, (text + "\n").encode())


def read(path: str | os.PathLike, schema: str, required: Iterable[str] = ()) -> dict[str, Any]:
    """Read one record and check it at the door.

    Raises `RecordError`, naming the file and what was wanted, where it is missing, is not whole JSON, has another
    schema or lacks one of the `required` keys.
    """
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"cannot read record {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"record {path} is truncated or not JSON ({error}); delete it to have it made anew"
        ) from error
    if not isinstance(record, dict):
        raise RecordError(f"record {path} holds a {type(record).__name__}, wanted a mapping with schema {schema!r}")
    if record.get("schema") != schema:
        raise RecordError(f"record {path} has schema {record.get('schema')!r}, wanted {schema!r}")
    missing = [key for key in required if key not in record]
    if missing:
        raise RecordError(f"record {path} lacks {', '.join(missing)}")
    return record


def digest(value: Any) -> str:
    """SHA-256 of a JSON-able value in canonical form: equal values, equal digest."""
    text = json.dumps(value, default=_plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _commit() -> str:
    """This project's commit, with ``-dirty`` where tracked files differ from it.

    Outside the project's repository, also where another one surrounds the package, what the environment variable
    ``MMFUSION_COMMIT`` says, for copies of a known commit; else "unknown".
    """
    root = Path(__file__).resolve().parent
    stated = os.environ.get("MMFUSION_COMMIT", "unknown")

    def git(*command: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    top, _, commit = (git("rev-parse", "--show-toplevel", "--short=10", "HEAD") or "").partition("\n")
    if not commit or Path(top).resolve() != root.parent:
        return stated
    return commit + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")


def release(module: Any) -> str:
    """Version of a library without the name of its build: 2.13.0 for 2.13.0+cpu."""
    return module.__version__.split("+")[0]


def hardware(device: str) -> dict[str, Any]:
    """What decides a result's digits and speed beside the versions: name of the accelerator, CUDA and cuDNN.

    Empty for the CPU. `device` is one that this machine has.
    """
    import torch

    if torch.device(device).type != "cuda":
        return {}
    return {
        "accelerator": torch.cuda.get_device_name(device),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def provenance(**facts: Any) -> dict[str, Any]:
    """Where a result comes from: the facts given (profile, data set and its hash, seeds, device …) and the
    versions, commit and date of this process."""
    import numpy
    import torch

    from mmfusion import __version__

    return {
        **facts,
        "commit": _commit(),
        "mmfusion": __version__,
        "python": platform.python_version(),
        "torch": release(torch),
        "numpy": numpy.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
