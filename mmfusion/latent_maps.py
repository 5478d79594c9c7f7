"""Learned maps from the latent space to itself, one per modality, with or without spectral normalisation."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

SPECTRAL_MODES = ("projection", "quotient")


class LatentMaps(nn.Module):
    """One map from the latent space to itself per modality, evaluated for all modalities at once.

    With one layer the map is ``v -> W v`` (Definition 4.1 of paper A); with two it is ``v -> W_2 relu(W_1 v)``
    (section 5.3). The paper mentions no bias, and without one the maps stay positively homogeneous.

    Parameters
    ----------
    count, latent : number of maps; size of their inputs and outputs.
    layers : 1 or 2.
    bias : add a bias to every layer.
    spectral : ``None``; ``"quotient"`` uses ``W / |W|`` as printed in section 4.5.1, which also blows small weights up
        to norm one; ``"projection"`` uses ``W / max(1, |W|)``, the nearest reading that never amplifies.

    Notes
    -----
    The spectral norm is read off a pair of singular vectors, ``u . W w``, which also carries its exact gradient. In
    evaluation mode the pair comes from a singular value decomposition, kept until the weights change. In training mode
    it follows the moving weights by one step of power iteration per forward pass, starting from the exact pair.
    """

    def __init__(
        self, count: int, latent: int, layers: int = 1, *, bias: bool = False, spectral: str | None = None
    ) -> None:
        super().__init__()
        if layers not in (1, 2):
            raise ValueError(f"layers must be 1 or 2, got {layers!r}")
        if spectral is not None and spectral not in SPECTRAL_MODES:
            raise ValueError(f"spectral must be None or one of {list(SPECTRAL_MODES)}, got {spectral!r}")
        self.spectral = spectral
        bound = 1 / math.sqrt(latent)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.empty(count, latent, latent).uniform_(-bound, bound)) for _ in range(layers)
        )
        self.biases = nn.ParameterList(
            nn.Parameter(torch.empty(count, latent).uniform_(-bound, bound)) for _ in range(layers if bias else 0)
        )
        self._exact: dict[int, tuple] = {}
        if spectral:
            for index in range(layers):
                left, right = self._exact_pair(index)
                self.register_buffer(f"left_{index}", left.clone())
                self.register_buffer(f"right_{index}", right.clone())

    def _exact_pair(self, index: int) -> tuple[Tensor, Tensor]:
        weight = self.weights[index].detach()
        known, left, right = self._exact.get(index, (None, None, None))
        # Compared by value: fused optimisers change weights without touching their version counter.
        same_kind = known is not None and known.device == weight.device and known.dtype == weight.dtype
        if not same_kind or not torch.equal(known, weight):
            if torch.isfinite(weight).all():
                left, _, right = torch.linalg.svd(weight)
                left, right = left[..., 0].contiguous(), right[..., 0, :].contiguous()
            else:
                left = right = torch.full_like(weight[..., 0], torch.nan)
            self._exact[index] = (weight.clone(), left, right)
        return left, right

    def _tracked_norms(self, index: int) -> Float[Tensor, " modality"]:
        weight = self.weights[index]
        left = getattr(self, f"left_{index}")
        # New tensors, because the backward pass of this call still needs the old ones when the next call comes.
        right = nn.functional.normalize(torch.bmm(left.unsqueeze(1), weight.detach()).squeeze(1), dim=-1)
        # One product serves the iteration and the norm.
        image = torch.bmm(weight, right.unsqueeze(-1)).squeeze(-1)
        left = nn.functional.normalize(image.detach(), dim=-1)
        setattr(self, f"left_{index}", left)
        setattr(self, f"right_{index}", right)
        return (left * image).sum(dim=-1)

    def spectral_norms(self, index: int) -> Float[Tensor, " modality"]:
        """Spectral norms of the raw weights of one layer: exact in evaluation mode, tracked in training mode."""
        if self.training and self.spectral:
            return self._tracked_norms(index)
        left, right = self._exact_pair(index)
        return (left * (self.weights[index] @ right.unsqueeze(-1)).squeeze(-1)).sum(dim=-1)

    def divisors(self, index: int) -> Float[Tensor, " modality"]:
        """What spectral normalisation divides the weights of one layer by."""
        if self.spectral is None:
            return self.weights[index].new_ones(len(self.weights[index]))
        norms = self.spectral_norms(index)
        return norms.clamp_min(1.0 if self.spectral == "projection" else 1e-12)

    def effective_weights(self) -> list[Float[Tensor, "modality latent latent"]]:
        """The matrices that the maps apply, spectral normalisation included, one stack per layer."""
        return [weight / self.divisors(index)[:, None, None] for index, weight in enumerate(self.weights)]

    def forward(self, stacked: Float[Tensor, "batch modality latent"]) -> Float[Tensor, "batch modality latent"]:
        # (modality, batch, latent): one batched product serves all modalities.
        hidden = stacked.transpose(0, 1)
        for index, weight in enumerate(self.weights):
            hidden = torch.bmm(hidden, weight.mT)
            if self.spectral:
                # Dividing the product instead of the weights touches batch rather than latent numbers per column.
                hidden = hidden / self.divisors(index)[:, None, None]
            if self.biases:
                hidden = hidden + self.biases[index].unsqueeze(1)
            if index + 1 < len(self.weights):
                hidden = torch.relu(hidden)
        return hidden.transpose(0, 1)
