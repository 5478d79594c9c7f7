"""Models made of encoders, a fusion operator and decoders."""

from mmfusion.models.autoencoder import MultimodalAutoencoder, parameter_count
from mmfusion.models.encoders import PAPER_CHANNELS, PAPER_WIDTHS, ImageSpec, VectorSpec, specs_for

__all__ = [
    "PAPER_CHANNELS",
    "PAPER_WIDTHS",
    "ImageSpec",
    "MultimodalAutoencoder",
    "VectorSpec",
    "parameter_count",
    "specs_for",
]
