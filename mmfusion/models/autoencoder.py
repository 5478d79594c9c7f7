"""The multimodal autoencoder: one encoder per modality, one fusion, one decoder per modality."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmfusion.fusion import Fusion, make_fusion
from mmfusion.models.encoders import Spec


class MultimodalAutoencoder(nn.Module):
    """Reconstructs every modality from one fused representation (paper A, section 5.3).

    Parameters
    ----------
    specs : for each modality an :class:`~mmfusion.models.encoders.ImageSpec` or
        :class:`~mmfusion.models.encoders.VectorSpec`; their order is the order of the blocks of the fused vector.
    fusion : name of an operator (see :func:`mmfusion.fusion.make_fusion`).
    latent : size of every latent vector. ``None`` takes the size that the image encoder produces.
    fusion_options : passed on to the operator.

    Encoders and decoders draw their initial weights before the fusion does. So one random seed gives the same encoders
    under every fusion, and the same decoders under fusions of equal output size.

    Attributes
    ----------
    encoders, decoders : ``nn.ModuleDict`` by modality. fusion : the operator. specs, latent : as above.

    Raises
    ------
    ValueError : no modality, a name that modules cannot have, latent sizes that differ, or no way to tell the size.
    """

    def __init__(self, specs: Mapping[str, Spec], fusion: str, latent: int | None = None, **fusion_options) -> None:
        super().__init__()
        if not specs:
            raise ValueError("an autoencoder wants at least one modality, got none")
        for name in specs:
            if not name or "." in name:
                raise ValueError(f"modality names must be non-empty and without dots, got {name!r}")
        natural = {name: spec.natural_latent for name, spec in specs.items() if spec.natural_latent is not None}
        sizes = set(natural.values()) | ({latent} if latent is not None else set())
        if len(sizes) > 1:
            given = f", latent={latent}" if latent is not None else ""
            raise ValueError(f"all modalities must share one latent size, got {natural}{given}")
        if not sizes:
            raise ValueError("no image modality fixes the latent size; wants latent=...")
        self.specs = dict(specs)
        self.latent = sizes.pop()
        # The operator knows the fused size, yet its weights must be drawn last: shape it without drawing any.
        with torch.random.fork_rng(devices=[]):
            fused = make_fusion(fusion, list(specs), self.latent, **fusion_options).fused_features
        self.encoders = nn.ModuleDict({name: spec.encoder(self.latent) for name, spec in specs.items()})
        self.decoders = nn.ModuleDict({name: spec.decoder(fused) for name, spec in specs.items()})
        self.fusion: Fusion = make_fusion(fusion, list(specs), self.latent, **fusion_options)

    def validate(self, inputs: Mapping[str, Tensor]) -> None:
        """Check modality names, shapes and finiteness of a batch.

        Raises
        ------
        ValueError : says which modality does not fit and what it should look like.
        """
        self._check_shapes(inputs)
        for name in self.specs:
            if not torch.isfinite(inputs[name]).all():
                raise ValueError(f"modality {name!r} holds NaN or infinite values; wants finite numbers")
        lengths = {name: len(inputs[name]) for name in self.specs}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"all modalities must have the same number of samples, got {lengths}")

    def encode(self, inputs: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "batch latent"]]:
        """Latent vector of each modality.

        A model needs every modality that it was built with, also at inference: none is filled in. Raises ``ValueError``
        naming the one that is missing, foreign, or of another shape.
        """
        self._check_shapes(inputs)
        return {name: encoder(inputs[name]) for name, encoder in self.encoders.items()}

    def fuse(self, latents: Mapping[str, Float[Tensor, "batch latent"]]) -> Float[Tensor, "batch fused"]:
        """The fused vector."""
        return self.fusion(latents)

    def decode(self, fused: Float[Tensor, "batch fused"]) -> dict[str, Tensor]:
        """Reconstruction of each modality."""
        return {name: decoder(fused) for name, decoder in self.decoders.items()}

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Reconstructions of all modalities from (possibly corrupted) inputs of all modalities."""
        return self.decode(self.fuse(self.encode(inputs)))

    def _check_shapes(self, inputs: Mapping[str, Tensor]) -> None:
        missing = [name for name in self.specs if name not in inputs]
        foreign = [name for name in inputs if name not in self.specs]
        if missing or foreign:
            said = (("lacks", missing), ("brings", foreign))
            words = " and ".join(f"{verb} {', '.join(map(repr, names))}" for verb, names in said if names)
            raise ValueError(f"this model has the modalities {list(self.specs)}; the batch {words}")
        for name, spec in self.specs.items():
            shape = tuple(inputs[name].shape)
            if shape[1:] != spec.shape:
                wanted = ", ".join(map(str, spec.shape))
                raise ValueError(f"modality {name!r} has shape {shape}; wants (batch, {wanted})")


def parameter_count(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
