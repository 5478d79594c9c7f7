"""Sizes of a model's weights. They cost next to nothing, so a run can record them after every epoch."""

from __future__ import annotations

import math

import torch
from torch import nn

from mmfusion.fusion import BilinearAttention


@torch.no_grad()
def measure_weights(model: nn.Module) -> dict[str, float]:
    """Norms of a model's weights and, where its fusion is an attention, of the score maps one by one.

    Returns
    -------
    ``parameters/norm`` : square root of the sum of squares of all parameters.
    ``fusion/weights/norm`` : the same for the raw weights of the score maps, all layers and modalities, without biases.
        These are what paper A's Eq. (7) pulls towards zero.
    ``fusion/weights/stable_rank`` : squared Frobenius over squared spectral norm, from 1 (one singular value) to the
        latent size (all equal), averaged over the maps; blind to scale. A matrix of zeros counts as 0.
    ``fusion/weights/spectral/<layer>/<modality>`` : spectral norm of every raw matrix, which is what the spectral
        quotient divides by.

    In evaluation mode the spectral norms are exact; under spectral normalisation they are then known already.
    """
    found = {"parameters/norm": math.sqrt(sum(float(p.detach().double().square().sum()) for p in model.parameters()))}
    fusion = getattr(model, "fusion", None)
    if not isinstance(fusion, BilinearAttention):
        return found
    maps = fusion.score_maps
    squares, ranks = 0.0, []
    for layer, weight in enumerate(maps.weights):
        frobenius = weight.double().square().sum(dim=(-2, -1)).tolist()
        spectral = _spectral(maps, layer).tolist()
        squares += sum(frobenius)
        ranks += [square / norm**2 if norm else 0.0 for square, norm in zip(frobenius, spectral, strict=True)]
        for name, norm in zip(fusion.modalities, spectral, strict=True):
            found[f"fusion/weights/spectral/{layer}/{name}"] = norm
    return found | {"fusion/weights/norm": math.sqrt(squares), "fusion/weights/stable_rank": sum(ranks) / len(ranks)}


def _spectral(maps: nn.Module, layer: int) -> torch.Tensor:
    if maps.spectral and not maps.training:
        return maps.spectral_norms(layer).double()
    weight = maps.weights[layer]
    if not torch.isfinite(weight).all():
        return torch.full((len(weight),), math.nan, dtype=torch.float64)
    return torch.linalg.matrix_norm(weight, ord=2).double()
