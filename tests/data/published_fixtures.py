"""A few kB in each published layout, written where a test wants them."""

import json
from pathlib import Path

import numpy as np

RATE, PICTURES = 30, 36
ANGLES = np.arange(1, 8) / 10  # how fast each joint of a made-up arm turns (rad/s)


def ramp(number: int) -> tuple[int, int, int]:
    """The colour of picture ``number``: red rises by 7 a picture."""
    return 7 * number % 256, 128, 30


def video(path: Path, pictures: int = PICTURES, rate: int = RATE, shape=(24, 96), codec: str = "mpeg4") -> None:
    """Two views side by side: the left one shows the ramp of colours, the right one is blue."""
    import av

    height, width = shape
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(codec, rate=rate, options={"qscale": "2", "b": "4000000"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(pictures):
            picture = np.empty((height, width, 3), dtype=np.uint8)
            picture[:, : width // 2], picture[:, width // 2 :] = ramp(number), (20, 20, 230)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def stamps(count: int, rate: float = RATE) -> np.ndarray:
    return (np.arange(count) * 1e9 / rate).round().astype(np.int64)


def position(path: Path, count: int = PICTURES, arms=(1, 2), **change) -> None:
    """Both arms; the one of number 1 turns evenly, the other rests."""
    seconds = stamps(count) / 1e9
    entries = []
    for arm in arms:
        joints = np.outer(seconds, ANGLES) if arm == 1 else np.zeros((count, 7))
        effector = np.stack([np.cos(seconds), np.sin(seconds), np.full(count, 0.8)], axis=1)
        entries.append({
            "robot_number": arm, "time_stamp_ns": stamps(count).tolist(), "joint_positions": joints.tolist(),
            "EE_positions": effector.tolist(), **change,
        })  # fmt: skip
    path.write_text(json.dumps(entries))


def csi(path: Path, count: int = PICTURES, modules=(1, 2, 3), subcarriers: int = 256, **change) -> None:
    """Amplitude of subcarrier s in sample k of module m: 100·m + s + k, real and imaginary in turn; 200 is dead."""
    entries = []
    for module in modules:
        values = 100 * module + np.arange(count)[:, None] + np.arange(subcarriers)
        values[:, 200:201] = 0
        text = [[f"{v}+0j" if s % 2 else f"0-{v}j" for s, v in enumerate(row)] for row in values]
        entries.append({
            "module_number": module, "RSS": [-40] * count, "time_stamp_ns": stamps(count).tolist(),
            "complex_csi": text, **change,
        })  # fmt: skip
    path.write_text(json.dumps(entries))


def recording(folder: Path, repetition: int = 1, digit: int = 6, arm: int = 1, pictures: int = PICTURES) -> str:
    """All files of one recording, but for the cameras and microphones that nobody reads. Returns its stem."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"Rp{repetition:02}_Ac{digit}_Vhigh_Ar{arm}_UNC187"
    video(folder / f"{stem}_Rx1_cam.mp4", pictures)
    position(folder / f"{stem}_Rxall_pos.json", pictures)
    csi(folder / f"{stem}_Rxall_csi.json", pictures)
    return stem


def robomnist(folder: Path, recordings: int = 4, pictures: int = PICTURES) -> Path:
    """Recordings in the published subfolders, two digits."""
    for number in range(recordings):
        digit = number % 2
        recording(folder / f"{digit:02}_Ar1_Vhigh_Ac{digit}", number + 1, digit, pictures=pictures)
    (folder / "README.txt").write_text("not ours")
    return folder


def industrial(path: Path, count: int = 60, shape: tuple[int, int] = (16, 20), width: int = 5, **change) -> None:
    """Pictures whose red is the sample's number, times 4; channel c of sample k is k + 100·c, channel 3 is still."""
    path.parent.mkdir(parents=True, exist_ok=True)
    camera = np.zeros((count, *shape, 3), dtype=np.uint8)
    camera[..., 0] = (4 * np.arange(count) % 256)[:, None, None]
    sensor = np.arange(count)[:, None] + 100.0 * np.arange(width)
    sensor[:, 3:4] = 7
    arrays = {"camera": camera, "sensor": sensor, **change}
    np.savez_compressed(path, **{name: array for name, array in arrays.items() if array is not None})
