"""Multiplicative fusion: the outer product of all modalities, and its low-rank weight tensors.

Both operators append a 1 to every latent vector, z̃ = [z; 1], so that the outer product holds every product of latents
of different modalities, down to the single latents and the constant (Zadeh et al. 2017). `LowRank` never forms it:
a weight tensor of rank r turns it into r products of dot products (Liu et al. 2018; section "The Solution: Rank-Based
Decomposition" and "The Fusion Equation" of paper D, Sinha). Identity, cost and limits: page "lowrank/tensor-identity".
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmfusion.cp import cp_rows, cp_tensor
from mmfusion.fusion import Features, Fusion

__all__ = ["LowRank", "TensorFusion", "append_one"]


def append_one(stacked: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch augmented"]:
    """``[z; 1]`` along the last axis."""
    return torch.cat([stacked, stacked.new_ones(*stacked.shape[:-1], 1)], dim=-1)


class TensorFusion(Fusion):
    """``z̃_1 ⊗ … ⊗ z̃_n``, flattened; with ``outputs`` a full, trained weight tensor contracts it.

    Parameters
    ----------
    modalities, latent : see :class:`~mmfusion.fusion.Fusion`; at least two modalities.
    outputs : ``None`` gives the (latent + 1)ⁿ products themselves, with no parameters; a number gives that many linear
        functions of them, with outputs · (latent + 1)ⁿ parameters.

    Raises
    ------
    ValueError : as `Fusion`; fewer than two modalities; outputs below 1.
    """

    def __init__(self, modalities: Iterable[str], latent: int, outputs: int | None = None) -> None:
        super().__init__(modalities, latent, at_least=2)
        cells = (self.latent + 1) ** len(self.modalities)
        self.weight = None
        if outputs is not None:
            _at_least_one(outputs=outputs)
            self.weight = nn.Parameter(torch.randn(outputs, cells) / math.sqrt(cells))
        self.fused_features = cells if outputs is None else int(outputs)

    def forward(self, inputs: Features) -> Float[Tensor, "batch fused"]:
        stacked = append_one(self.stack(inputs))
        products = cp_rows(stacked.unbind(dim=1))
        return products if self.weight is None else products @ self.weight.T


class LowRank(Fusion):
    """Low-rank multimodal fusion: a weight tensor that is a sum of ``rank`` products, applied without forming it.

    ``shared=False`` (Liu et al. 2018; the sum over i of ⊙_m w_m^(i) z̃_m in paper D): every output has factors of its
    own; rank · outputs · (latent + 1) · n parameters, and as many multiplications a sample.
    ``shared=True`` (the final equation of paper D, ŷ = Θ((W_v z̃_v) ⊙ (W_t z̃_t)), for any number of modalities): all
    outputs share the factors; rank · ((latent + 1) · n + outputs) parameters.

    Parameters
    ----------
    modalities, latent : see :class:`~mmfusion.fusion.Fusion`; at least two modalities.
    rank : number of products, at least 1.
    outputs : features of the result; by default ``latent``.
    shared : see above.

    Attributes
    ----------
    factors : (modality, rank, outputs, latent + 1), or (modality, rank, latent + 1) if ``shared``; trained and saved.
    head : Θ of shape (outputs, rank) if ``shared``, else ``None``.

    Raises
    ------
    ValueError : as `Fusion`; fewer than two modalities; rank or outputs below 1.
    """

    def __init__(
        self, modalities: Iterable[str], latent: int, rank: int, outputs: int | None = None, *, shared: bool = False
    ) -> None:
        super().__init__(modalities, latent, at_least=2)
        outputs = self.latent if outputs is None else outputs
        _at_least_one(rank=rank, outputs=outputs)
        self.rank = int(rank)
        self.fused_features = int(outputs)
        count, width = len(self.modalities), self.latent + 1
        # Outputs begin with variance about one on standardised latents, whatever rank and number of modalities.
        scale = width**-0.5 * (1.0 if shared else self.rank ** (-0.5 / count))
        shape = (count, self.rank, width) if shared else (count, self.rank, self.fused_features, width)
        self.factors = nn.Parameter(scale * torch.randn(shape))
        self.head = nn.Parameter(torch.randn(self.fused_features, self.rank) / self.rank**0.5) if shared else None

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank={self.rank}, shared={self.head is not None}"

    def forward(self, inputs: Features) -> Float[Tensor, "batch fused"]:
        stacked = append_one(self.stack(inputs))
        # One matrix product per modality: (batch, width) by (width, rank [· outputs]).
        projected = torch.einsum("bmd,mfd->mbf", stacked, self.factors.flatten(1, -2)).prod(dim=0)
        if self.head is not None:
            return projected @ self.head.T
        return projected.unflatten(1, (self.rank, self.fused_features)).sum(dim=1)

    def weight_tensor(self) -> Float[Tensor, "outputs ..."]:
        """The full weight tensor (outputs, latent + 1, …, latent + 1) that the factors stand for; for small sizes."""
        if self.head is not None:
            return cp_tensor([self.head.T, *self.factors])
        return cp_tensor(list(self.factors.transpose(1, 2)))


def _at_least_one(**counts: int) -> None:
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number, at least 1, got {value!r}")
