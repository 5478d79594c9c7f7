"""RoboMNIST: two robot arms write digits, filmed by three cameras and heard by three WiFi receivers.

The published layout (doi:10.6084/m9.figshare.28179383; Scientific Data 12:326, 2025), in one folder or in
subfolders, one recording of 15 s per stem::

    Rp01_Ac6_Vhigh_Ar1_UNC187_Rx1_cam.mp4      one camera of three, 30 pictures/s, two views side by side
    Rp01_Ac6_Vhigh_Ar1_UNC187_Rxall_pos.json   joints and end effectors of both arms, 30/s
    Rp01_Ac6_Vhigh_Ar1_UNC187_Rxall_csi.json   channel state of three receivers, 256 subcarriers, about 30/s

``Rp`` counts repetitions, ``Ac`` is the digit, ``V`` the speed, ``Ar`` the arm that writes, ``UNC`` the deviation from
the intended path. Sound (``…_mic.wav``) is not read. Paper A (§ 5.2) uses one camera, the writing arm and the signal.

* Velocities are not published: here they are backward differences of the joint angles on their time stamps. Nor is the
  end effector's orientation: its pose is its position.
* The signal is the amplitude of one receiver, without the 24 subcarriers that the authors' own example leaves out as
  pilots or unused.
* The clock is the camera's; its first picture is taken to belong to the first time stamp of the arm, as published
  recordings start together. Arm and signal are brought to the picture's times by linear interpolation.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mmfusion.data.published import video
from mmfusion.data.published.report import Arrays, Plan, folder, relative
from mmfusion.data.published.sampling import STRIDE, WINDOW, chosen, on_clock, speeds, spread, storable, windows_at
from mmfusion.data.store import DataError

VERSION = 1
EXPECTATION = "recordings named as Rp01_Ac6_Vhigh_Ar1_UNC187_Rx1_cam.mp4, …_Rxall_pos.json and …_Rxall_csi.json"
EACH = 25  # samples of one recording; neighbours 1/30 s apart would say little new
SUBCARRIERS = 256
UNUSED = (*range(5), *range(115, 121), *range(122, 132), *range(253, 256))
USED = tuple(number for number in range(SUBCARRIERS) if number not in UNUSED)
JOINTS = 7
SENSOR = (
    *(f"joint_{j}_angle" for j in range(1, JOINTS + 1)),
    *(f"joint_{j}_speed" for j in range(1, JOINTS + 1)),
    "effector_x", "effector_y", "effector_z",
)  # fmt: skip
OPTIONS = {"camera": 1, "module": 1, "view": "left", "subcarriers": len(USED), "tolerance": 0.5}

STEM = re.compile(r"Rp(?P<repetition>\d+)_Ac(?P<digit>\d)_V(?P<speed>low|med|high)_Ar(?P<arm>[12])_UNC(?P<unc>\d+)")
FILE = re.compile(rf"(?P<stem>{STEM.pattern})_(?:Rx[123]_(?:cam\.mp4|mic\.wav)|Rxall_(?:csi|pos)\.json)")
GROUP = re.compile(r"(?:^|_)(Ar\d|V(?:low|med|high)|Ac\d)(?=_|$)")


@dataclass(frozen=True)
class Recording:
    """The files of one recording, and the arm that moves."""

    name: str
    arm: int
    camera: Path
    position: Path
    csi: Path


def check(options: Mapping) -> dict:
    """The options with their defaults. Raises `DataError` for unknown or impossible ones.

    ``camera`` and ``module``: 1, 2 or 3; ``view``: ``left``, ``right`` or ``whole`` of a picture that shows two views;
    ``subcarriers``: how many of the 232 to keep, evenly spaced; ``tolerance``: by how much (s) the streams of one
    recording may disagree on its beginning and its end.
    """
    unknown = sorted(options.keys() - OPTIONS.keys())
    if unknown:
        raise DataError(f"unknown option {', '.join(unknown)} of robomnist; known: {', '.join(OPTIONS)}")
    merged = {**OPTIONS, **options}
    for key, allowed in {
        "camera": (1, 2, 3), "module": (1, 2, 3), "view": video.VIEWS, "subcarriers": range(1, len(USED) + 1),
    }.items():  # fmt: skip
        # 1.0 is in range(3), and no file is named after it.
        if merged[key] not in allowed or isinstance(merged[key], bool | float):
            said = f"1 to {len(USED)}" if key == "subcarriers" else ", ".join(map(str, allowed))
            raise DataError(f"option {key} must be one of {said}; got {merged[key]!r}")
    if not isinstance(merged["tolerance"], int | float) or not 0 < merged["tolerance"] < 15:
        raise DataError(f"option tolerance must be seconds between 0 and 15, got {merged['tolerance']!r}")
    return merged


def _labels_agree(path: Path, stem: str, root: Path) -> None:
    """Published subfolders repeat digit, speed and arm (``00_Ar1_Vhigh_Ac0``); they must say the same as the name."""
    parts = set(stem.split("_"))
    for parent in path.relative_to(root).parent.parts:
        wrong = [label for label in GROUP.findall(parent) if label not in parts]
        if wrong:
            raise DataError(f"{path} is mislabelled: its folder says {wrong[0]}, its name says {stem}")


def find(root: Path, camera: int) -> tuple[list[Recording], dict[str, int], list[str]]:
    """The recordings below ``root``, counts of what is there, and the names of files that are none of ours.

    Raises `DataError` for a name that looks like a recording's and is none, a label that contradicts its folder,
    a recording that occurs twice, or one that lacks a file.
    """
    stems: dict[str, dict[str, Path]] = {}
    ignored, found, total = [], 0, 0
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        match = FILE.fullmatch(path.name)
        if match is None:
            if re.match(r"Rp\d|.*_Rx(all|\d)_", path.name):
                raise DataError(f"{path} is foreign or mislabelled; wanted {EXPECTATION}")
            ignored.append(relative(path, root))
            continue
        stem = match["stem"]
        _labels_agree(path, stem, root)
        kind = path.name.removeprefix(stem)
        if kind in stems.setdefault(stem, {}):
            raise DataError(f"{path} occurs twice, also as {stems[stem][kind]}; wanted each recording once")
        stems[stem][kind] = path
        found, total = found + 1, total + path.stat().st_size
    if not stems:
        raise DataError(f"no RoboMNIST recording in {root}; wanted {EXPECTATION}")
    recordings = []
    for stem, files in sorted(stems.items()):
        kinds = {"camera": f"_Rx{camera}_cam.mp4", "position": "_Rxall_pos.json", "csi": "_Rxall_csi.json"}
        beside = next(iter(files.values())).parent
        for kind in kinds.values():
            if kind not in files:
                raise DataError(f"{beside / (stem + kind)} is missing; wanted it beside the recording's other files")
        arm = int(STEM.fullmatch(stem)["arm"])
        recordings.append(Recording(stem, arm, **{key: files[kind] for key, kind in kinds.items()}))
    return recordings, {"recordings": len(recordings), "files": found, "bytes": total}, ignored


def _json(path: Path, number: str, wanted: int) -> dict:
    """The entry of a list of mappings whose ``number`` is ``wanted``."""
    try:
        entries = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is truncated or no JSON ({error}); get the file again") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and number in entry for entry in entries):
        raise DataError(f"{path} is foreign; wanted a list of mappings that have a {number}")
    fitting = [entry for entry in entries if entry[number] == wanted]
    if len(fitting) != 1:
        had = [entry[number] for entry in entries]
        raise DataError(f"{path} is mislabelled: its {number}s are {had}; wanted {wanted} exactly once")
    return fitting[0]


def _array(entry: Mapping, key: str, path: Path, width: int | None = None) -> np.ndarray:
    """The numbers at ``key``, one row per time stamp, each of ``width`` (or plain numbers)."""
    if key not in entry:
        raise DataError(f"{path} lacks {key}; it has {', '.join(entry)}")
    try:
        array = np.array(entry[key], dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path} is foreign: {key} is no table of numbers") from error
    if array.ndim != (1 if width is None else 2) or (width is not None and array.shape[1] != width):
        wanted = "(samples,)" if width is None else f"(samples, {width})"
        raise DataError(f"{path}: {key} has the shape {array.shape}, wanted {wanted}")
    if not storable(array):
        raise DataError(f"{path}: {key} holds values that are not finite")
    return array


def _stamps(entry: Mapping, path: Path, **rows: int) -> Float[np.ndarray, "rows"]:
    """Time stamps in seconds, as many as there are rows of everything else, strictly ascending."""
    stamps = _array(entry, "time_stamp_ns", path)
    counts = {"time_stamp_ns": len(stamps), **rows}
    if len(set(counts.values())) > 1 or len(stamps) < 2:
        said = ", ".join(f"{key} {count}" for key, count in counts.items())
        raise DataError(f"{path}: sample counts differ or are below 2 ({said}); wanted as many of each")
    back = np.flatnonzero(np.diff(stamps) <= 0)
    if len(back):
        raise DataError(
            f"{path} has unsynchronised time stamps: sample {back[0] + 2} is not later than the one before it; "
            "wanted ascending times"
        )
    return stamps / 1e9


def position(path: Path, arm: int) -> tuple[Float[np.ndarray, "rows"], Float[np.ndarray, "rows 17"]]:
    """Time stamps (s) and `SENSOR` values (rad, rad/s, m) of one arm. Raises `DataError`."""
    entry = _json(path, "robot_number", arm)
    joints, effector = _array(entry, "joint_positions", path, JOINTS), _array(entry, "EE_positions", path, 3)
    stamps = _stamps(entry, path, joint_positions=len(joints), EE_positions=len(effector))
    return stamps, np.concatenate([joints, speeds(stamps, joints), effector], axis=1)


def amplitude(path: Path, module: int) -> tuple[Float[np.ndarray, "rows"], Float[np.ndarray, "rows 256"]]:
    """Time stamps (s) and channel amplitude (the receiver's own units) of one receiver. Raises `DataError`."""
    entry = _json(path, "module_number", module)
    table = entry.get("complex_csi")
    try:
        values = np.abs(np.array([[complex(number) for number in row] for row in table], dtype=np.complex128))
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path} is foreign: complex_csi wants rows of complex numbers as text") from error
    values = _array({"complex_csi": values}, "complex_csi", path, SUBCARRIERS)
    return _stamps(entry, path, complex_csi=len(values)), values


def _together(recording: Recording, streams: Mapping[Path, np.ndarray], tolerance: float) -> None:
    """Streams on one clock begin and end together, but for ``tolerance`` seconds."""
    (camera, shown), *others = streams.items()
    for path, stamps in others:
        if stamps[0] > shown[-1] or stamps[-1] < shown[0]:
            raise DataError(f"{path} is unsynchronised: it has no moment in common with {recording.position.name}")
        for what, end in (("begin", 0), ("end", -1)):
            apart = abs(stamps[end] - shown[end])
            if apart > tolerance:
                raise DataError(
                    f"{path} is unsynchronised: it and {camera.name} {what} {apart:.2f} s apart; "
                    f"wanted at most {tolerance:g} s"
                )


def _one(recording: Recording, samples: int, size: int, options: Mapping, kept: np.ndarray, advance: Callable):
    """Samples of one recording, how many pictures it has, and its longest silence (s) of the signal."""
    shown = video.frame_times(recording.camera)
    moved, sensor = position(recording.position, recording.arm)
    heard, signal = amplitude(recording.csi, options["module"])
    start = moved[0]
    moved, heard = moved - start, heard - start
    streams = {recording.camera: shown, recording.position: moved, recording.csi: heard}
    _together(recording, streams, options["tolerance"])
    if len(shown) < WINDOW:
        raise DataError(f"{recording.camera} has {len(shown)} pictures; wanted at least {WINDOW}, one window")
    ends = spread([len(shown) - WINDOW + 1], samples)[0] + WINDOW - 1
    arrays = {
        "camera": video.pictures(recording.camera, ends, size, options["view"], advance),
        "sensor": windows_at(on_clock(shown, moved, sensor), ends),
        "signal": windows_at(on_clock(shown, heard, signal[:, kept]), ends),
    }
    return arrays, len(shown), float(np.diff(heard).max())


def plan(name: str, root: str | Path | None, frames: int, seed: int, options: Mapping) -> Plan:
    """Which recordings to read for ``frames`` samples, and how. See `check` for the options.

    About `EACH` samples per recording, recordings drawn by ``seed``; a recording is an episode.
    """
    options = check(options)
    root = folder(name, root, EXPECTATION)
    recordings, found, ignored = find(root, options["camera"])
    used = [recordings[number] for number in chosen(len(recordings), frames, EACH, seed)]
    shares = [frames // len(used) + (number < frames % len(used)) for number in range(len(used))]
    kept = np.array(USED)[np.linspace(0, len(USED) - 1, options["subcarriers"]).round().astype(int)]

    def read(size: int, advance: Callable[[int], object]) -> tuple[Arrays, dict, dict]:
        parts, rows, silences = [], [], {}
        for episode, (recording, share) in enumerate(zip(used, shares, strict=True)):
            part, pictures, silence = _one(recording, share, size, options, kept, advance)
            count = len(part["camera"])
            parts.append({**part, "episode": np.full(count, episode, dtype=np.int32)})
            rows.append({"episode": episode, "name": recording.name, "pictures": pictures, "samples": count})
            silences[recording.csi.name] = silence
        arrays = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        channels = {"sensor": list(SENSOR), "signal": [f"subcarrier_{number}" for number in kept]}
        worst = max(silences, key=silences.get)
        warnings = ["speeds are differences of published angles; the effector's orientation is not published"]
        if silences[worst] > 5 / 30:
            warnings.append(f"{worst} is silent for {silences[worst]:.2f} s; the signal is interpolated across")
        notes = {"channels": channels, "window": WINDOW, "stride": STRIDE, "period": 1 / 30}
        return arrays, notes, {"recordings": rows, "warnings": warnings}

    files = [path for recording in used for path in (recording.camera, recording.position, recording.csi)]
    return Plan(root, files, found, ignored, read)
