"""Which samples are taken, and how streams of different clocks meet at a picture.

A sample is a picture with the windows of history that end at its time. All streams are first brought to the
pictures' own times by linear interpolation; windows are then cut over whole pictures, with a step of 1.
"""

import numpy as np
from jaxtyping import Float, Int, UInt8

WINDOW, STRIDE = 20, 1  # w_l and w_s of paper A, § 5.1


def chosen(recordings: int, samples: int, each: int, seed: int) -> Int[np.ndarray, "used"]:
    """Numbers of the recordings to read for ``samples`` samples, ascending.

    A recording gives about ``each`` samples, so that a small request need not decode a whole collection; at least
    four recordings are taken where they exist, so that a split by recording is possible. Which ones is drawn by
    ``seed``; with one seed a larger request keeps the recordings of a smaller one.
    """
    wanted = min(recordings, samples, max(4, -(-samples // each)))
    return np.sort(np.random.default_rng(seed).permutation(recordings)[:wanted])


def spread(available: list[int], samples: int) -> list[Int[np.ndarray, "taken"]]:
    """At most ``samples`` positions in all, shared evenly over recordings and evenly spaced within each.

    ``available`` counts what each recording has; what a short one lacks goes to the others.
    """
    shares = np.zeros(len(available), dtype=int)
    left = min(samples, sum(available))
    room = np.array(available)
    while left > 0:
        open_ = np.flatnonzero(shares < room)
        if left < len(open_):
            open_ = open_[np.linspace(0, len(open_) - 1, left).round().astype(int)]
        given = np.minimum(max(left // len(open_), 1), (room - shares)[open_])
        shares[open_] += given
        left -= given.sum()
    # The middle of equal stretches: distinct, and neither end is preferred.
    return [((np.arange(n) + 0.5) * count / max(n, 1)).astype(int) for n, count in zip(shares, available, strict=True)]


def storable(values: Float[np.ndarray, "..."]) -> bool:
    """Whether all values are finite, also in the single precision in which windows are kept."""
    return bool((np.abs(values) <= np.finfo(np.float32).max).all())


def windows_at(stream: Float[np.ndarray, "times d"], ends: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n window d"]:
    """The `WINDOW` rows of ``stream`` that end at each row in ``ends``; every end must have that much history."""
    return stream[ends[:, None] + np.arange(1 - WINDOW, 1)].astype(np.float32)


def on_clock(
    times: Float[np.ndarray, "wanted"], stamps: Float[np.ndarray, "rows"], values: Float[np.ndarray, "rows d"]
) -> Float[np.ndarray, "wanted d"]:
    """Values at ``times`` by linear interpolation between the rows measured at ``stamps`` (s, ascending)."""
    after = np.clip(np.searchsorted(stamps, times), 1, len(stamps) - 1)
    share = np.clip((times - stamps[after - 1]) / (stamps[after] - stamps[after - 1]), 0, 1)[:, None]
    return (1 - share) * values[after - 1] + share * values[after]


def speeds(stamps: Float[np.ndarray, "rows"], values: Float[np.ndarray, "rows d"]) -> Float[np.ndarray, "rows d"]:
    """Backward differences of ``values`` per second: what a robot knows of its speed at each stamp.

    The first row, which has no predecessor, repeats the second.
    """
    rates = np.diff(values, axis=0) / np.diff(stamps)[:, None]
    return np.concatenate([rates[:1], rates])


def resized(picture: UInt8[np.ndarray, "height width 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The picture squeezed to ``size`` x ``size`` by area averaging, whatever its aspect ratio."""
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BOX))
