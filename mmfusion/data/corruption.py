"""Corruptions of both modalities, for models that must restore what a sensor lost (paper A, § 5.1).

Every corruption is a function of a clean tensor, a severity in [0, 1] and a random generator. It returns a new
tensor of the same shape and type and never touches its argument, which stays the target. Severity 0 returns the
values unchanged; severity 1 is stated below for each kind. The paper speaks of "corrupted bimodal information"
and names no kind: this list is ours.

Sensor (standardised units, so 1 is a channel's own standard deviation; windows of time by channel):

* ``noise``: white Gaussian, standard deviation 1;
* ``dropout``: each time step of each channel is lost with probability 1/2 and reads 0, the training mean;
* ``drift``: each channel gains a ramp from 0 to a slope drawn from ±2 by the end of the window;
* ``stuck``: each channel freezes with probability 1, at a time step drawn from the window.

Camera (values in [0, 1], clipped back into it):

* ``noise``: white Gaussian, standard deviation 1/2;
* ``occlusion``: a rectangle of up to half the picture's area, in one grey level;
* ``dropout``: each pixel turns black with probability 1/2;
* ``brightness``: all values shift by an amount drawn from ±1/2.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor

Window = Float[Tensor, "batch time channels"]
Picture = Float[Tensor, "batch 3 height width"]


def _severity(severity: float | int) -> float:
    if not 0 <= severity <= 1:
        raise ValueError(f"severity must lie in [0, 1], got {severity}")
    return float(severity)


def _uniform(shape: Sequence[int], like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(tuple(shape), generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


def _normal(like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


def sensor_noise(windows: Window, severity: float | int, generator: Generator) -> Window:
    """White Gaussian noise of standard deviation ``severity``."""
    return windows + _severity(severity) * _normal(windows, generator)


def sensor_dropout(windows: Window, severity: float | int, generator: Generator) -> Window:
    """Readings lost independently with probability ``severity``/2; a lost one reads 0."""
    lost = _uniform(windows.shape, windows, generator) < _severity(severity) / 2
    return windows.masked_fill(lost, 0)


def sensor_drift(windows: Window, severity: float | int, generator: Generator) -> Window:
    """A linear drift per channel, from 0 at the window's start to at most ±2·``severity`` at its end."""
    batch, time, channels = windows.shape
    slope = 2 * _severity(severity) * (2 * _uniform((batch, 1, channels), windows, generator) - 1)
    return windows + slope * torch.linspace(0, 1, time, dtype=windows.dtype, device=windows.device)[:, None]


def sensor_stuck(windows: Window, severity: float | int, generator: Generator) -> Window:
    """Channels that repeat one reading to the window's end, each with probability ``severity``."""
    batch, time, channels = windows.shape
    stuck = _uniform((batch, 1, channels), windows, generator) < _severity(severity)
    since = (_uniform((batch, 1, channels), windows, generator) * time).long().clamp_(max=time - 1)
    now = torch.arange(time, device=windows.device)[:, None].expand_as(windows)
    return windows.gather(1, torch.where(stuck, torch.minimum(now, since), now))


def image_noise(pictures: Picture, severity: float | int, generator: Generator) -> Picture:
    """White Gaussian noise of standard deviation ``severity``/2."""
    return (pictures + 0.5 * _severity(severity) * _normal(pictures, generator)).clamp(0, 1)


def image_occlusion(pictures: Picture, severity: float | int, generator: Generator) -> Picture:
    """One rectangle per picture, of random shape and grey level, covering at most ``severity``/2 of the area."""
    batch, _, height, width = pictures.shape
    area, stretch, top, left, grey = _uniform((5, batch, 1, 1, 1), pictures, generator)
    area = _severity(severity) / 2 * area
    # Sides with product `area` (in shares of the picture) and ratio between 1/2 and 2, capped at the picture.
    ratio = 2 ** (stretch - 0.5)
    tall, wide = (area.sqrt() * ratio).clamp(max=1), (area.sqrt() / ratio).clamp(max=1)
    rows = (torch.arange(height, dtype=pictures.dtype, device=pictures.device)[:, None] + 0.5) / height
    columns = (torch.arange(width, dtype=pictures.dtype, device=pictures.device) + 0.5) / width
    top, left = top * (1 - tall), left * (1 - wide)
    covered = (rows >= top) & (rows < top + tall) & (columns >= left) & (columns < left + wide)
    return torch.where(covered, grey, pictures)


def image_dropout(pictures: Picture, severity: float | int, generator: Generator) -> Picture:
    """Pixels that turn black, all three colours together, with probability ``severity``/2."""
    batch, _, height, width = pictures.shape
    dead = _uniform((batch, 1, height, width), pictures, generator) < _severity(severity) / 2
    return pictures.masked_fill(dead, 0)


def image_brightness(pictures: Picture, severity: float | int, generator: Generator) -> Picture:
    """All values of a picture shifted by one amount, drawn from ±``severity``/2."""
    shift = _severity(severity) * (_uniform((len(pictures), 1, 1, 1), pictures, generator) - 0.5)
    return (pictures + shift).clamp(0, 1)


Corruption = Callable[[Tensor, float | int, Generator], Tensor]
KINDS: dict[str, dict[str, Corruption]] = {
    "sensor": {"noise": sensor_noise, "dropout": sensor_dropout, "drift": sensor_drift, "stuck": sensor_stuck},
    "camera": {
        "noise": image_noise,
        "occlusion": image_occlusion,
        "dropout": image_dropout,
        "brightness": image_brightness,
    },
}


def corrupt(
    batch: Mapping[str, Tensor],
    severity: float | int,
    generator: Generator,
    kinds: Mapping[str, Sequence[str]] | None = None,
    channels: int = 20,
) -> dict[str, Tensor]:
    """Corrupted inputs for both modalities; the batch itself stays clean and serves as the target.

    Every sample of every modality gets one kind, drawn evenly from those allowed, so that a batch mixes them.

    Parameters
    ----------
    batch : ``camera`` (N, 3, H, W) in [0, 1] and/or ``sensor``, (N, w_l, d_t) or flattened (N, w_l·d_t).
    severity : 0 (nothing happens) to 1.
    generator : a ``torch.Generator``; its state decides everything.
    kinds : allowed kinds per modality; a modality that it does not name stays clean. Default: all of `KINDS`.
    channels : d_t of a flattened sensor.

    Raises ``ValueError`` for an unknown modality or kind, an empty list of kinds, a severity outside [0, 1], a
    flattened width that is no multiple of ``channels``, or values that are not finite.
    """
    severity = _severity(severity)
    kinds = {name: tuple(KINDS[name]) for name in batch if name in KINDS} if kinds is None else kinds
    for name in {*batch, *kinds}:
        if name not in KINDS:
            raise ValueError(f"unknown modality {name!r}; known: {', '.join(KINDS)}")
    for name, chosen in kinds.items():
        unknown = [kind for kind in chosen if kind not in KINDS[name]]
        if unknown or not chosen:
            raise ValueError(f"{name} takes one or more of {', '.join(KINDS[name])}; got {list(chosen)}")
        if name not in batch:
            raise ValueError(f"kinds name the modality {name!r}, which the batch lacks")
    corrupted = {}
    for name in batch:  # a fixed order, whatever the order of `kinds`
        clean = batch[name]
        if not torch.isfinite(clean).all():
            raise ValueError(f"{name} holds values that are not finite")
        corrupted[name] = _mixed(clean, name, severity, generator, kinds[name], channels) if name in kinds else clean
    return corrupted


def _mixed(
    clean: Tensor, name: str, severity: float | int, generator: Generator, kinds: Sequence[str], channels: int
) -> Tensor:
    shaped = clean
    if name == "sensor" and clean.ndim == 2:
        if channels < 1 or clean.shape[1] % channels:
            raise ValueError(f"a flattened sensor of width {clean.shape[1]} does not hold {channels} channels")
        shaped = clean.unflatten(1, (-1, channels))
    wanted = 3 if name == "sensor" else 4
    if shaped.ndim != wanted:
        raise ValueError(f"{name} must have {wanted} axes, got shape {tuple(clean.shape)}")
    draw = torch.randint(len(kinds), (len(shaped),), generator=generator, device=generator.device)
    result = shaped.clone()
    for number, kind in enumerate(kinds):
        rows = (draw == number).nonzero().flatten().to(shaped.device)
        if len(rows):
            result[rows] = KINDS[name][kind](shaped[rows], severity, generator)
    return result.reshape(clean.shape)
