"""What a reader found in a user's folder: files, sizes, hashes, recordings, and what to beware of."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmfusion import records
from mmfusion.data.store import DataError

CHUNK = 1 << 20
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Plan:
    """What a reader will read, decided from names and headers alone.

    ``files`` are read, in this order; ``found`` counts what the folder holds; ``ignored`` are names of other files.
    ``read(size, advance)`` gives the arrays, notes about them and facts for the report.
    """

    root: Path
    files: Sequence[Path]
    found: Mapping[str, int]
    ignored: Sequence[str]
    read: Callable[[int, Callable[[int], object]], tuple[Arrays, dict, dict]]


def folder(name: str, root: str | Path | None, expectation: str) -> Path:
    """The user's data folder. Raises `DataError` where none is named or there is no such folder."""
    if root is None:
        raise DataError(f"{name} is read from your own folder; name it by root (data_root in notebooks): {expectation}")
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataError(f"no folder at {root}; {name} wants a folder with {expectation}")
    return root.resolve()


def relative(path: Path, root: Path) -> str:
    """The file's name within the folder, with forward slashes."""
    return path.relative_to(root).as_posix()


def size_of(path: Path) -> int:
    """Bytes of a file that must be there and hold something. Raises `DataError`."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if size == 0:
        raise DataError(f"{path} is empty; get the file again")
    return size


def _hash(path: Path) -> str:
    total = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(CHUNK):
                total.update(block)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return total.hexdigest()


def listed(plan: Plan) -> list[dict]:
    """Name, bytes and SHA-256 of every file that the plan reads. Raises `DataError` for a missing or empty one."""
    sizes = [size_of(path) for path in plan.files]  # all of them before the long work
    return [
        {"name": relative(path, plan.root), "bytes": size, "sha256": _hash(path)}
        for path, size in zip(plan.files, sizes, strict=True)
    ]


def digest(files: Iterable[Mapping]) -> str:
    """One hash over names, sizes and hashes of files."""
    return records.digest([[entry["name"], entry["bytes"], entry["sha256"]] for entry in files])


def still(arrays: Arrays, channels: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Names of the channels that never change, by modality. They are kept; a `Standardiser` gives them scale 1."""
    found = {}
    for name, names in channels.items():
        flat = arrays[name].reshape(-1, arrays[name].shape[-1])
        found[name] = np.array(names)[flat.min(0) == flat.max(0)].tolist()
    return {name: names for name, names in found.items() if names}


def _bytes(count: int) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _few(names: Sequence[str], shown: int = 6) -> str:
    return ", ".join(map(str, names[:shown])) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def lines(report: Mapping, test: Iterable[int] = ()) -> list[str]:
    """The report as text, one fact a line; ``test`` holds the episodes that a split keeps for testing."""
    files, test = report["files"], {int(number) for number in test}
    found = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in report["found"].items() if what != "bytes")
    text = [
        f"found     {found}, {_bytes(report['found']['bytes'])}",
        f"read      {len(files)} of them, {_bytes(sum(entry['bytes'] for entry in files))}, sha256 {report['digest']}",
    ]
    text += [f"  {entry['sha256'][:16]}  {_bytes(entry['bytes']):>9}  {entry['name']}" for entry in files]
    text.append(f"episodes  {len(report['recordings'])}" + (f", {len(test)} of them held out" if test else ""))
    for row in report["recordings"]:
        part = ("test" if row["episode"] in test else "train") if test else "-"
        taken = f"{row['samples']} of {row['pictures']} pictures"
        text.append(f"  {row['episode']:>4}  {part:5}  {taken}  {row['name']}")
    for name, channels in report["constant"].items():
        text.append(f"constant  {name}: {_few(channels)} (kept, scale 1)")
    text += [f"beware    {warning}" for warning in report["warnings"]]
    if report["ignored"]:
        text.append(f"ignored   {_few(report['ignored'])}")
    return text
