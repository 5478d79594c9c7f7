"""Failures of sensors and cameras, injected into one modality at a time, for detectors that must notice them.

Paper A, § 5.7, injects the failures of its reference [38] (Altinses and Schwung, "Multimodal synthetic dataset
balancing", IECON 2023) and says neither which of them nor how strong. The authors' public code for that reference
offers, among others, cut-outs, transient peaks, trends and white noise for signals, and erased rectangles, blur, wrong
exposure and regions of one constant value for pictures. The kinds below are their standard forms, in our own words
and strengths.

Each kind is a function of a clean tensor, a severity in [0, 1] and a random generator, as in
:mod:`mmfusion.data.corruption`, whose functions serve where a failure is the same thing as a training corruption.
Severity 0 returns the values unchanged; with one state of the generator, more severity does more harm.

Windows (standardised units; windows of time by channel):

* ``stuck``, ``drift``, ``noise``: as in :mod:`~mmfusion.data.corruption`;
* ``spike``: one reading of each channel jumps by ±6 standard deviations.

Pictures (values in [0, 1], clipped back into it):

* ``occlusion``: as in :mod:`~mmfusion.data.corruption`;
* ``blur``: Gaussian, standard deviation an eighth of the picture's side;
* ``exposure``: two stops too dark or too bright, that is a quarter of the light or four times as much;
* ``missing part``: half of the picture, from one of its four edges, reads 0.
"""

import math
from collections.abc import Mapping

import torch
from torch import Generator, Tensor
from torch.nn import functional

from mmfusion.data import corruption
from mmfusion.data.corruption import Catalogue, Picture, Window, checked, uniform

SPIKE = 6.0  # standard deviations
STOPS = 2.0


def window_spike(windows: Window, severity: float | int, generator: Generator) -> Window:
    """One reading of each channel, at a time step of its own, displaced by ±6·``severity`` standard deviations."""
    batch, time, channels = windows.shape
    when, sign = uniform((2, batch, 1, channels), windows, generator)
    jump = SPIKE * checked(severity) * torch.where(sign < 0.5, -1.0, 1.0).to(windows.dtype)
    now = torch.arange(time, device=windows.device)[:, None]
    return windows + jump * (now == (when * time).long().clamp_(max=time - 1))


def image_blur(pictures: Picture, severity: float | int, generator: Generator) -> Picture:
    """Gaussian blur of standard deviation ``severity`` × side / 8; beyond its edges a picture goes on as it ends."""
    spread = checked(severity) * min(pictures.shape[-2:]) / 8
    if spread == 0:
        return pictures.clone()
    reach = math.ceil(4 * spread)
    # Weights integrated over a pixel each, so that a blur narrower than a pixel blurs too.
    edges = torch.arange(-reach, reach + 2, dtype=torch.float64) - 0.5
    weights = torch.erf(edges / (spread * math.sqrt(2))).diff()
    weights = (weights / weights.sum()).to(pictures)
    padded = functional.pad(pictures.flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")
    along = functional.conv2d(functional.conv2d(padded, weights[None, None, None]), weights[None, None, :, None])
    return along.reshape(pictures.shape).clamp(0, 1)


def image_exposure(pictures: Picture, severity: float | int, generator: Generator) -> Picture:
    """Light multiplied by 2 to the power of ±2·``severity``, the sign drawn for each picture."""
    side = uniform((len(pictures), 1, 1, 1), pictures, generator) < 0.5
    gain = 2 ** (STOPS * checked(severity))
    return torch.where(side, pictures / gain, pictures * gain).clamp(0, 1)


def image_missing_part(pictures: Picture, severity: float | int, generator: Generator) -> Picture:
    """The part at one edge, drawn for each picture, reads 0: a share ``severity``/2, in whole rows or columns."""
    height, width = pictures.shape[-2:]
    edge = (4 * uniform((len(pictures), 1, 1, 1), pictures, generator)).long()
    rows = torch.arange(height, device=pictures.device)[:, None].expand(height, width)
    columns = torch.arange(width, device=pictures.device).expand(height, width)
    lost_rows, lost_columns = (math.ceil(checked(severity) / 2 * side) for side in (height, width))
    sides = [rows < lost_rows, rows >= height - lost_rows, columns < lost_columns, columns >= width - lost_columns]
    gone = sum((edge == number) & side for number, side in enumerate(sides))
    return pictures.masked_fill(gone.bool(), 0)


KINDS: Catalogue = {
    "window": {
        "stuck": corruption.window_stuck,
        "spike": window_spike,
        "drift": corruption.window_drift,
        "noise": corruption.window_noise,
    },
    "picture": {
        "occlusion": corruption.image_occlusion,
        "blur": image_blur,
        "exposure": image_exposure,
        "missing part": image_missing_part,
    },
}


def kinds_of(batch: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """The kinds of failure that each modality can have: pictures have four axes, all others are windows."""
    return {name: tuple(KINDS["picture" if tensor.ndim == 4 else "window"]) for name, tensor in batch.items()}


def inject(
    batch: Mapping[str, Tensor],
    modality: str,
    kind: str,
    severity: float | int,
    generator: Generator,
    channels: Mapping[str, int] | int = 20,
) -> dict[str, Tensor]:
    """The batch with one kind of failure in one modality of every sample; all other modalities are as they were.

    Parameters
    ----------
    batch, severity, generator, channels : see :func:`mmfusion.data.corruption.corrupt`.
    modality : the one that fails. kind : one of its kinds, see `KINDS`.

    Raises ``ValueError`` for a modality that the batch lacks, an unknown kind, a severity outside [0, 1], a tensor of
    another number of axes, or values that are not finite.
    """
    return corruption.corrupt(
        batch, severity, generator, kinds={modality: [kind]}, channels=channels, catalogue=KINDS
    )  # fmt: skip
