"""Corruptions of pictures and of windows, for models that must restore what a sensor lost (paper A, § 5.1).

Every corruption is a function of a clean tensor, a severity in [0, 1] and a random generator. It returns a new
tensor of the same shape and type and never touches its argument, which stays the target. Severity 0 returns the
values unchanged; severity 1 is stated below for each kind. The paper speaks of "corrupted bimodal information"
and names no kind: this list is ours.

Windows (standardised units, so 1 is a channel's own standard deviation; windows of time by channel):

* ``noise``: white Gaussian, standard deviation 1;
* ``dropout``: each time step of each channel is lost with probability 1/2 and reads 0, the training mean;
* ``drift``: each channel gains a ramp from 0 to a slope drawn from ±2 by the end of the window;
* ``stuck``: each channel freezes with probability 1, at a time step drawn from the window.

Pictures (values in [0, 1], clipped back into it):

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


def checked(severity: float | int) -> float:
    """The severity as a float. Raises ``ValueError`` outside [0, 1]."""
    if not 0 <= severity <= 1:
        raise ValueError(f"severity must lie in [0, 1], got {severity}")
    return float(severity)


def uniform(shape: Sequence[int], like: Tensor, generator: Generator) -> Tensor:
    """Numbers drawn evenly from [0, 1), of the type and on the device of ``like``."""
    return torch.rand(tuple(shape), generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


def _normal(like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


def window_noise(windows: Window, severity: float | int, generator: Generator) -> Window:
    """White Gaussian noise of standard deviation ``severity``."""
    return windows + checked(severity) * _normal(windows, generator)


def window_dropout(windows: Window, severity: float | int, generator: Generator) -> Window:
    """Readings lost independently with probability ``severity``/2; a lost one reads 0."""
    lost = uniform(windows.shape, windows, generator) < checked(severity) / 2
    return windows.masked_fill(lost, 0)


def window_drift(windows: Window, severity: float | int, generator: Generator) -> Window:
    """A linear drift per channel, from 0 at the window's start to at most ±2·``severity`` at its end."""
    batch, time, channels = windows.shape
    slope = 2 * checked(severity) * (2 * uniform((batch, 1, channels), windows, generator) - 1)
    return windows + slope * torch.linspace(0, 1, time, dtype=windows.dtype, device=windows.device)[:, None]


def window_stuck(windows: Window, severity: float | int, generator: Generator) -> Window:
    """Channels that repeat one reading to the window's end, each with probability ``severity``."""
    batch, time, channels = windows.shape
    stuck = uniform((batch, 1, channels), windows, generator) < checked(severity)
    since = (uniform((batch, 1, channels), windows, generator) * time).long().clamp_(max=time - 1)
    now = torch.arange(time, device=windows.device)[:, None].expand_as(windows)
    return windows.gather(1, torch.where(stuck, torch.minimum(now, since), now))


def image_noise(pictures: Picture, severity: float | int, generator: Generator) -> Picture:
    """White Gaussian noise of standard deviation ``severity``/2."""
    return (pictures + 0.5 * checked(severity) * _normal(pictures, generator)).clamp(0, 1)


def image_occlusion(pictures: Picture, severity: float | int, generator: Generator) -> Picture:
    """One rectangle per picture, of random shape and grey level, covering at most ``severity``/2 of the area."""
    batch, _, height, width = pictures.shape
    area, stretch, top, left, grey = uniform((5, batch, 1, 1, 1), pictures, generator)
    area = checked(severity) / 2 * area
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
    dead = uniform((batch, 1, height, width), pictures, generator) < checked(severity) / 2
    return pictures.masked_fill(dead, 0)


def image_brightness(pictures: Picture, severity: float | int, generator: Generator) -> Picture:
    """All values of a picture shifted by one amount, drawn from ±``severity``/2."""
    shift = checked(severity) * (uniform((len(pictures), 1, 1, 1), pictures, generator) - 0.5)
    return (pictures + shift).clamp(0, 1)


Corruption = Callable[[Tensor, float | int, Generator], Tensor]
Catalogue = Mapping[str, Mapping[str, Corruption]]
KINDS: Catalogue = {
    "window": {"noise": window_noise, "dropout": window_dropout, "drift": window_drift, "stuck": window_stuck},
    "picture": {
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
    channels: Mapping[str, int] | int = 20,
    catalogue: Catalogue = KINDS,
) -> dict[str, Tensor]:
    """Corrupted inputs for all modalities; the batch itself stays clean and serves as the target.

    Every sample of every modality gets one kind, drawn evenly from those allowed, so that a batch mixes them.

    Parameters
    ----------
    batch : by modality, pictures (N, 3, H, W) in [0, 1], or windows (N, w_l, d), or windows flattened (N, w_l·d).
    severity : 0 (nothing happens) to 1.
    generator : a ``torch.Generator``; its state decides everything.
    kinds : allowed kinds per modality; a modality that it does not name stays clean. Default: all in the catalogue.
    channels : d of flattened windows, by modality or one for all.
    catalogue : the kinds that there are, by ``window`` and ``picture``.

    Raises ``ValueError`` for a tensor of another number of axes, an unknown kind, an empty list of kinds, a severity
    outside [0, 1], a flattened width that is no multiple of ``channels``, or, on the CPU, values that are not finite
    (to look for them would stall an accelerator).
    """
    severity = checked(severity)
    families = {name: _family(name, clean) for name, clean in batch.items()}
    chosen = {name: tuple(catalogue[families[name]]) for name in batch} if kinds is None else kinds
    for name, allowed in chosen.items():
        if name not in batch:
            raise ValueError(f"kinds name the modality {name!r}, which the batch lacks; it has {list(batch)}")
        known = catalogue[families[name]]
        if not allowed or any(kind not in known for kind in allowed):
            raise ValueError(f"{name} takes one or more of {', '.join(known)}; got {list(allowed)}")
    corrupted = {}
    for name, clean in batch.items():  # a fixed order, whatever the order of `kinds`
        if clean.device.type == "cpu" and not torch.isfinite(clean).all():
            raise ValueError(f"{name} holds values that are not finite")
        corrupted[name] = clean
        if name in chosen:
            shaped = _shaped(name, clean, channels)
            known = catalogue[families[name]]
            corrupted[name] = _mixed(shaped, known, severity, generator, chosen[name]).reshape(clean.shape)
    return corrupted


def _family(name: str, clean: Tensor) -> str:
    if clean.ndim not in (2, 3, 4):
        raise ValueError(
            f"{name} must have 4 axes (pictures), 3 (windows) or 2 (flattened windows), got shape {tuple(clean.shape)}"
        )
    return "picture" if clean.ndim == 4 else "window"


def _shaped(name: str, clean: Tensor, channels: Mapping[str, int] | int) -> Tensor:
    if clean.ndim != 2:
        return clean
    count = channels if isinstance(channels, int) else channels.get(name)
    if count is None:
        raise ValueError(f"{name} is flattened; channels must name its number of channels, got {dict(channels)}")
    if count < 1 or clean.shape[1] % count:
        raise ValueError(f"{name}, flattened to width {clean.shape[1]}, does not hold {count} channels")
    return clean.unflatten(1, (-1, count))


def _mixed(
    clean: Tensor,
    known: Mapping[str, Corruption],
    severity: float | int,
    generator: Generator,
    kinds: Sequence[str],
) -> Tensor:
    draw = torch.randint(len(kinds), (len(clean),), generator=generator, device=generator.device)
    # The counts are read back once for all kinds: an accelerator stalls whenever the host wants to know something.
    counts = (draw[:, None] == torch.arange(len(kinds), device=draw.device)).sum(0).tolist()
    groups = draw.argsort(stable=True).to(clean.device).split(counts)
    result = clean.clone()
    for rows, kind in zip(groups, kinds, strict=True):
        if len(rows):
            result[rows] = known[kind](clean[rows], severity, generator)
    return result
