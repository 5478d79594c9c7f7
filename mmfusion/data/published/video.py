"""Pictures out of a video file, decoded with PyAV (FFmpeg's libraries)."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from mmfusion.data.published.sampling import resized
from mmfusion.data.store import DataError

VIEWS = ("left", "right", "whole")
STEREO = 2.5  # a picture wider than this many heights shows two views side by side


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple]:
    """Container and first video stream of an MP4 file; whatever FFmpeg finds wrong becomes one `DataError`."""
    try:
        import av
    except ImportError as error:
        raise DataError("videos are decoded with PyAV: pip install 'mmfusion[data]'") from error
    try:
        # An open file and a fixed format: the name is never taken for a protocol, nor the content guessed.
        with path.open("rb") as file, av.open(file, format="mp4", metadata_errors="replace") as container:
            if not container.streams.video:
                raise DataError(f"{path} holds no pictures; wanted an MP4 video")
            stream = container.streams.video[0]
            if stream.codec_context is None:  # decoding it would bring the interpreter down
                raise DataError(f"{path} is truncated or damaged: it does not say how its pictures are coded")
            yield container, stream
    except (av.FFmpegError, EOFError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path} is truncated, damaged or no MP4 video ({said}); get the file again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def frame_times(path: Path) -> Float[np.ndarray, "pictures"]:
    """When each picture is shown, in seconds after the first, ascending; nothing is decoded.

    Raises `DataError` where the file is no whole MP4 video, or two pictures share a time.
    """
    with _opened(path) as (container, stream):
        unit, promised = stream.time_base, stream.frames
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        stamps = sorted(packet.pts for packet in packets if not packet.is_corrupt)
    if not stamps or len(stamps) < promised:
        raise DataError(f"{path} is truncated: {len(stamps)} of {promised} pictures are there; get the file again")
    times = (np.array(stamps) - stamps[0]) * float(unit)
    if (np.diff(times) <= 0).any():
        raise DataError(f"{path} has unsynchronised time stamps: two pictures at one time; wanted ascending times")
    return times


def _view(picture: UInt8[np.ndarray, "height width 3"], view: str) -> UInt8[np.ndarray, "height part 3"]:
    height, width = picture.shape[:2]
    if view == "whole" or width <= STEREO * height:
        return picture
    return picture[:, : width // 2] if view == "left" else picture[:, width - width // 2 :]


def pictures(
    path: Path,
    wanted: Int[np.ndarray, "n"],
    size: int,
    view: str = "left",
    advance: Callable[[int], object] = lambda _: None,
) -> UInt8[np.ndarray, "n size size 3"]:
    """The pictures of numbers ``wanted`` (ascending, from 0), resized to ``size`` x ``size`` by area averaging.

    A picture that is more than 2.5 times as wide as high shows two views side by side; ``view`` takes the ``left``
    one, the ``right`` one, or the ``whole``. ``advance(1)`` is called after each picture.

    Raises `DataError` where a picture is damaged or missing; no picture is ever guessed from its neighbours.
    """
    if view not in VIEWS:
        raise DataError(f"view must be one of {', '.join(VIEWS)}, got {view!r}")
    with _opened(path) as (container, stream):
        stamps = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
    if len(wanted) and wanted[-1] >= len(stamps):
        raise DataError(f"{path} has {len(stamps)} pictures; wanted number {wanted[-1]}")
    row = {stamps[number]: index for index, number in enumerate(wanted)}
    taken = np.empty((len(wanted), size, size, 3), dtype=np.uint8)
    with _opened(path) as (container, stream):
        # Without this, FFmpeg hides damage by repeating what it has.
        stream.codec_context.options = {"err_detect": "explode"}
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream) if row else ():
            if frame.is_corrupt:
                raise DataError(f"{path} is damaged: the picture at {frame.time:.2f} s cannot be decoded whole")
            index = row.pop(frame.pts, None)
            if index is not None:
                taken[index] = resized(_view(frame.to_ndarray(format="rgb24"), view), size)
                advance(1)
            if not row:
                break
    if row:
        raise DataError(f"{path} is damaged: {len(row)} of {len(wanted)} wanted pictures are missing")
    return taken
