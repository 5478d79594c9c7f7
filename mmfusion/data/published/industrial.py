"""The industrial benchmark of paper A (§ 5.1, its reference 35): MuJoCo, one welding robot, two welding robots.

Zenodo 14041622, 14041488 and 14041416. The records' inner layout is not known here, so that this reader takes one
layout, to be written from them with a few lines of NumPy: ``.npz`` files in one folder (or in subfolders), each one
recording, with

* ``camera``: uint8 (N, H, W, 3), red-green-blue, in the order of time;
* ``sensor``: floating point (N, d), measured at the pictures' times;
* optionally ``time``: (N,), seconds, ascending; ``episode``: whole numbers (N,), where one file holds several
  recordings one after the other; ``channels``: d names of the sensor's columns.

Windows are made here. A folder with a single recording is cut into eight stretches, so that a test part can be held
out; no window crosses a cut.
"""

import contextlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from mmfusion.data.published.report import Arrays, Plan, folder, relative, size_of
from mmfusion.data.published.sampling import STRIDE, WINDOW, chosen, resized, spread, storable, windows_at
from mmfusion.data.store import DataError

VERSION = 1
EXPECTATION = ".npz files that hold camera, uint8 (N, H, W, 3), and sensor, floating point (N, d)"
OPTIONS: dict = {}
STRETCHES = 8
# What the standard library raises for archives that are cut, damaged, encrypted or none.
UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class Recording:
    """Rows ``begin`` to ``end`` of one file: pictures and sensor of one episode."""

    path: Path
    name: str
    begin: int
    end: int
    sensor: Float[np.ndarray, "rows d"]


@contextlib.contextmanager
def _member(path: Path, name: str) -> Iterator[tuple]:
    """Shape, type and byte stream of one array in the archive, without loading it; objects are never unpickled."""
    formats = np.lib.format
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
        header = {(1, 0): formats.read_array_header_1_0, (2, 0): formats.read_array_header_2_0}
        shape, fortran, kind = header[formats.read_magic(stream)](stream)
        if kind.hasobject:
            raise ValueError(f"{name} holds Python objects")
        if fortran and len(shape) > 1:
            raise ValueError(f"{name} is stored in Fortran order")
        yield shape, kind, stream


def _array(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as archive:
        return archive[name]


def _damaged(path: Path, error: Exception) -> DataError:
    said = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path} is truncated, damaged or foreign ({said}); wanted {EXPECTATION}")


def _recordings(path: Path, root: Path) -> tuple[list[Recording], list[str] | None]:
    """The recordings in one file, and the names of its channels if it says them."""
    size_of(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = {entry.removesuffix(".npy") for entry in archive.namelist()}
        missing = sorted({"camera", "sensor"} - names)
        if missing:
            raise DataError(f"{path} lacks {' and '.join(missing)}; it has {sorted(names)}, wanted {EXPECTATION}")
        with _member(path, "camera") as (shape, kind, _):
            pass
        sensor, extra = _array(path, "sensor"), {n: _array(path, n) for n in names & {"time", "episode", "channels"}}
    except DataError:
        raise
    except UNREADABLE as error:
        raise _damaged(path, error) from error
    if len(shape) != 4 or shape[-1] != 3 or kind != np.uint8 or 0 in shape:
        raise DataError(f"{path}: camera is {kind} {shape}, wanted uint8 (N, H, W, 3)")
    if sensor.ndim != 2 or not np.issubdtype(sensor.dtype, np.floating) or sensor.shape[1] == 0:
        raise DataError(f"{path}: sensor is {sensor.dtype} {sensor.shape}, wanted floating point (N, d)")
    counts = {"camera": shape[0], "sensor": len(sensor)}
    counts |= {name: len(extra[name]) for name in ("time", "episode") if name in extra and extra[name].ndim == 1}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{key} {count}" for key, count in counts.items())
        raise DataError(f"{path}: sample counts differ ({said}); wanted as many of each")
    if not storable(sensor):
        raise DataError(f"{path}: sensor holds values that are not finite")
    channels = _channels(path, extra.get("channels"), sensor.shape[1])
    borders = _borders(path, extra.get("episode"), len(sensor))
    _ascending(path, extra.get("time"), borders)
    stem, several = relative(path, root).removesuffix(".npz"), len(borders) > 2
    return [
        Recording(path, f"{stem} part {number}" if several else stem, begin, end, sensor[begin:end])
        for number, (begin, end) in enumerate(zip(borders[:-1], borders[1:], strict=True))
    ], channels


def _channels(path: Path, channels: np.ndarray | None, width: int) -> list[str] | None:
    if channels is None:
        return None
    if channels.shape != (width,) or channels.dtype.kind != "U":
        raise DataError(f"{path}: channels is {channels.dtype} {channels.shape}, wanted {width} names")
    return channels.tolist()


def _borders(path: Path, episode: np.ndarray | None, count: int) -> list[int]:
    if episode is None:
        return [0, count]
    if episode.ndim != 1 or not np.issubdtype(episode.dtype, np.integer):
        raise DataError(f"{path}: episode is {episode.dtype} {episode.shape}, wanted whole numbers (N,)")
    starts = np.flatnonzero(np.diff(episode, prepend=episode[0] - 1))
    if len(starts) != len(np.unique(episode)):
        raise DataError(f"{path}: an episode number comes back after another one; wanted each in one stretch")
    return [*starts.tolist(), count]


def _ascending(path: Path, time: np.ndarray | None, borders: list[int]) -> None:
    if time is None:
        return
    if time.ndim != 1 or time.dtype.kind not in "fiu":
        raise DataError(f"{path}: time is {time.dtype} {time.shape}, wanted seconds (N,)")
    for begin, end in zip(borders[:-1], borders[1:], strict=True):
        steps = np.diff(time[begin:end].astype(np.float64))
        if not (steps > 0).all():
            raise DataError(
                f"{path} has unsynchronised time stamps: sample {begin + int(np.argmin(steps > 0)) + 2} is not later "
                "than the one before it; wanted ascending times"
            )


def _cut(recordings: list[Recording]) -> list[Recording]:
    """A single recording in stretches of at least two windows each; several stay as they are."""
    if len(recordings) > 1:
        return recordings
    whole = recordings[0]
    parts = max(1, min(STRETCHES, len(whole.sensor) // (2 * WINDOW)))
    edges = np.linspace(0, len(whole.sensor), parts + 1).astype(int)
    return [
        Recording(whole.path, f"{whole.name} stretch {number}", whole.begin + a, whole.begin + b, whole.sensor[a:b])
        for number, (a, b) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    ]


def pictures(path: Path, wanted: np.ndarray, size: int, advance: Callable) -> UInt8[np.ndarray, "n size size 3"]:
    """The pictures in rows ``wanted`` (ascending), resized; others are read past, never held. Raises `DataError`."""
    taken = np.empty((len(wanted), size, size, 3), dtype=np.uint8)
    try:
        with _member(path, "camera") as ((_, *shape), _, stream):
            bytes_each, at = int(np.prod(shape)), 0
            for index, row in enumerate(wanted):
                for _ in range(at, row + 1):  # reading rather than seeking keeps the archive's checksum running
                    content = stream.read(bytes_each)
                if len(content) < bytes_each:
                    raise ValueError(f"camera ends before picture {row + 1}")
                taken[index] = resized(np.frombuffer(content, dtype=np.uint8).reshape(shape), size)
                at = row + 1
                advance(1)
            while stream.read(1 << 24):  # to the end, where the checksum is compared
                pass
    except UNREADABLE as error:
        raise _damaged(path, error) from error
    return taken


def plan(name: str, root: str | Path | None, frames: int, seed: int, options: Mapping) -> Plan:
    """Which rows of which files to read for ``frames`` samples, shared evenly over recordings.

    Where there are more recordings than ``frames``, ``seed`` draws which are read. There are no options.
    """
    if options:
        raise DataError(f"{name} takes no options, got {', '.join(sorted(options))}")
    root = folder(name, root, EXPECTATION)
    every = sorted(path for path in root.rglob("*") if path.is_file())
    paths = [path for path in every if path.suffix == ".npz"]
    if not paths:
        raise DataError(f"no .npz file in {root}; {name} wants {EXPECTATION}")
    recordings, named = [], {}
    for path in paths:
        parts, channels = _recordings(path, root)
        recordings += parts
        named[path] = (parts[0].sensor.shape[1], channels)
    (first, agreed), *others = named.items()
    for path, found in others:
        if found != agreed:
            raise DataError(f"{path} has {found[0]} sensor channels {found[1] or ''}, {first.name} has {agreed[0]} "
                            f"{agreed[1] or ''}; wanted the same in every file")  # fmt: skip
    single = len(recordings) == 1
    whole = _cut(recordings)
    usable = [recording for recording in whole if len(recording.sensor) >= WINDOW]
    if not usable:
        raise DataError(f"{first} has {len(whole[0].sensor)} samples; wanted at least {WINDOW}, one window")
    used = [usable[number] for number in chosen(len(usable), frames, 1, seed)]
    shares = spread([len(recording.sensor) - WINDOW + 1 for recording in used], frames)
    width, names = agreed

    def read(size: int, advance: Callable[[int], object]) -> tuple[Arrays, dict, dict]:
        ends = [share + WINDOW - 1 for share in shares]
        rows_of: dict[Path, list[np.ndarray]] = {}
        for recording, end in zip(used, ends, strict=True):
            rows_of.setdefault(recording.path, []).append(recording.begin + end)
        # Recordings are sorted by file and row, so that each file is read once, from front to back.
        camera = [pictures(path, np.concatenate(rows), size, advance) for path, rows in rows_of.items()]
        arrays = {
            "camera": np.concatenate(camera),
            "sensor": np.concatenate([windows_at(r.sensor, end) for r, end in zip(used, ends, strict=True)]),
            "episode": np.repeat(np.arange(len(used), dtype=np.int32), [len(end) for end in ends]),
        }
        facts = [
            {"episode": number, "name": r.name, "pictures": len(r.sensor), "samples": len(end)}
            for number, (r, end) in enumerate(zip(used, ends, strict=True))
        ]
        warnings = []
        if single and len(used) > 1:
            warnings.append(f"one recording, cut into {len(used)} stretches: test and train are neighbours")
        elif single:
            warnings.append("one recording, too short to be cut: no test part can be held out")
        if len(usable) < len(whole):
            warnings.append(f"{len(whole) - len(usable)} recordings are shorter than a window of {WINDOW} and left out")
        channels = {"sensor": names or [f"sensor_{column}" for column in range(width)]}
        notes = {"channels": channels, "window": WINDOW, "stride": STRIDE}
        return arrays, notes, {"recordings": facts, "warnings": warnings}

    files = list(dict.fromkeys(recording.path for recording in used))
    total = sum(path.stat().st_size for path in paths)
    found = {"recordings": len(recordings), "files": len(paths), "bytes": total}
    return Plan(root, files, found, [relative(path, root) for path in every if path.suffix != ".npz"], read)
