"""Fusion operators of common use whose output has the size of one latent vector.

These are the operators for which paper B (Understanding Multimodal Learning: A Loss Landscape Smoothness Perspective,
Appendix D.1) assumes approximate translation-invariance, φ(u, v + τ) = φ(u, v) + α ⊙ τ. Each maps
``{modality: (batch, latent)}`` to ``(batch, latent)``; names and shapes are checked as in `mmfusion.fusion.Fusion`.
What they satisfy exactly is worked out on the page "landscape/additivity".
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmfusion.fusion import Features, Fusion

__all__ = ["Additive", "ConcatLinear", "ConcatMLP", "CrossAttention"]


class Additive(Fusion):
    """``gains_1 * v_1 + ... + gains_n * v_n``, gains entry by entry.

    The only operators that satisfy Definition 1 of paper B in every modality, up to a constant. With all gains at one,
    as they start, it is the sum.

    Parameters
    ----------
    modalities, latent : see `Fusion`; at least two modalities.
    learned : whether training changes the gains.
    """

    def __init__(self, modalities: Iterable[str], latent: int, *, learned: bool = False) -> None:
        super().__init__(modalities, latent, at_least=2)
        self.fused_features = self.latent
        self.gains = nn.Parameter(torch.ones(len(self.modalities), self.latent), requires_grad=learned)

    def forward(self, inputs: Features) -> Float[Tensor, "batch fused"]:
        return (self.stack(inputs) * self.gains).sum(dim=1)


class ConcatLinear(Fusion):
    """``W [v_1; ...; v_n] + b``: concatenation and one linear layer (paper B, Appendix D.1).

    Parameters
    ----------
    modalities, latent : see `Fusion`; at least two modalities.
    bias : whether the layer has one.
    """

    def __init__(self, modalities: Iterable[str], latent: int, *, bias: bool = True) -> None:
        super().__init__(modalities, latent, at_least=2)
        self.fused_features = self.latent
        self.layer = nn.Linear(self.latent * len(self.modalities), self.latent, bias=bias)

    def block(self, modality: str) -> Float[Tensor, "latent latent"]:
        """The columns of W that act on one modality; ``ValueError`` on an unknown one."""
        if modality not in self.modalities:
            raise ValueError(f"unknown modality {modality!r}; ConcatLinear fuses {list(self.modalities)}")
        start = self.modalities.index(modality) * self.latent
        return self.layer.weight[:, start : start + self.latent]

    def forward(self, inputs: Features) -> Float[Tensor, "batch fused"]:
        return self.layer(self.stack(inputs).flatten(start_dim=1))


class ConcatMLP(Fusion):
    """Concatenation, a hidden layer with ReLU and a linear layer (paper B, Appendix D.1).

    Parameters
    ----------
    modalities, latent : see `Fusion`; at least two modalities.
    hidden : units of the hidden layer, ``latent`` by default.
    """

    def __init__(self, modalities: Iterable[str], latent: int, hidden: int | None = None) -> None:
        super().__init__(modalities, latent, at_least=2)
        hidden = self.latent if hidden is None else int(hidden)
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {hidden}")
        self.fused_features = self.latent
        self.layers = nn.Sequential(
            nn.Linear(self.latent * len(self.modalities), hidden), nn.ReLU(), nn.Linear(hidden, self.latent)
        )

    def forward(self, inputs: Features) -> Float[Tensor, "batch fused"]:
        return self.layers(self.stack(inputs).flatten(start_dim=1))


class CrossAttention(Fusion):
    """The first modality asks, all others answer: one block of multi-head attention (paper B, Appendix D.1).

    Every latent vector is cut into `tokens` tokens of ``latent / tokens`` entries. The first modality's tokens are the
    queries; those of all others are keys and values. With two modalities and one token the softmax runs over a single
    key: the weight is 1 and the output an affine map of the second vector, whatever the first.

    Parameters
    ----------
    modalities, latent : see `Fusion`; at least two modalities.
    heads : must divide the size of a token.
    tokens : must divide `latent`.
    bias : whether projections have biases.
    """

    def __init__(
        self, modalities: Iterable[str], latent: int, heads: int = 8, *, tokens: int = 1, bias: bool = True
    ) -> None:
        super().__init__(modalities, latent, at_least=2)
        if tokens < 1 or self.latent % tokens:
            raise ValueError(f"tokens must be at least 1 and divide latent = {self.latent}, got {tokens}")
        size = self.latent // tokens
        if heads < 1 or size % heads:
            raise ValueError(f"heads must be at least 1 and divide the size {size} of a token, got {heads}")
        self.fused_features = self.latent
        self.tokens, self.heads = int(tokens), int(heads)
        self.attention = nn.MultiheadAttention(size, self.heads, bias=bias, batch_first=True)

    def forward(self, inputs: Features) -> Float[Tensor, "batch fused"]:
        stacked = self.stack(inputs)
        tokens = stacked.reshape(len(stacked), len(self.modalities) * self.tokens, -1)
        asking, answering = tokens[:, : self.tokens], tokens[:, self.tokens :]
        fused, _ = self.attention(asking, answering, answering, need_weights=False)
        return fused.flatten(start_dim=1)
