"""Encoders and decoders, each described by a specification of the modality that it serves.

The defaults are those of section 5.3 of paper A (Altinses and Schwung). Smaller models come from other numbers in the
specification, not from other classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor, nn

PAPER_CHANNELS = (256, 128, 64, 32, 32, 32)
PAPER_WIDTHS = (64, 128, 128, 256, 256)


@dataclass(frozen=True)
class ImageSpec:
    """A modality of images ``(batch, colours, height, width)``, encoded by strided convolutions.

    Parameters
    ----------
    size : height and width in pixels; one number means a square.
    channels : output channels of each convolution.
    colours : channels of the image.
    kernel, stride, padding : of every convolution.

    The decoder mirrors the encoder with transposed convolutions, whose output padding follows from the sizes that the
    encoder passes through. ReLU stands between layers; the latent and the reconstruction are linear.

    Raises
    ------
    ValueError : a number below 1, or an image that some layer cannot halve any more.
    """

    size: int | Sequence[int]
    channels: Sequence[int] = PAPER_CHANNELS
    colours: int = 3
    kernel: int = 5
    stride: int = 2
    padding: int = 1

    def __post_init__(self) -> None:
        size = (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "channels", tuple(self.channels))
        if len(size) != 2:
            raise ValueError(f"an image's size is one number or (height, width), got {list(size)}")
        _positive("image size, channels, colours, kernel, stride", *size, *self.channels, self.colours, self.kernel)
        _positive("image size, channels, colours, kernel, stride", self.stride)
        if not self.channels:
            raise ValueError("channels must name at least one convolution, got none")
        if self.padding < 0:
            raise ValueError(f"padding must not be negative, got {self.padding}")
        self.sizes()

    def sizes(self) -> list[tuple[int, int]]:
        """Height and width before the first and after every convolution."""
        sizes = [self.size]
        for layer in range(1, len(self.channels) + 1):
            height, width = ((s + 2 * self.padding - self.kernel) // self.stride + 1 for s in sizes[-1])
            if min(height, width) < 1 or min(sizes[-1]) + 2 * self.padding < self.kernel:
                passed = " > ".join(f"{h}x{w}" for h, w in sizes)
                raise ValueError(
                    f"an image of {self.size[0]}x{self.size[1]} is too small for {len(self.channels)} convolutions: "
                    f"layer {layer} cannot halve {sizes[-1][0]}x{sizes[-1][1]} ({passed}); "
                    f"use fewer channels or larger images"
                )
            sizes.append((height, width))
        return sizes

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return (self.colours, *self.size)

    @property
    def natural_latent(self) -> int:
        """Latent size that the encoder produces: last channels times last height times last width."""
        return self.channels[-1] * prod(self.sizes()[-1])

    def encoder(self, latent: int) -> nn.Module:
        """Image to latent vector."""
        if latent != self.natural_latent:
            raise ValueError(f"this image encoder has {self.natural_latent} latent features, got latent={latent}")
        layers: list[nn.Module] = []
        for before, after in zip((self.colours, *self.channels[:-1]), self.channels, strict=True):
            layers += [nn.Conv2d(before, after, self.kernel, self.stride, self.padding), nn.ReLU()]
        return nn.Sequential(*layers[:-1], nn.Flatten())

    def decoder(self, fused: int) -> nn.Module:
        """Fused vector to image.

        There is no linear layer in front: the fused vector is cut into maps of the size that the encoder ends with.
        Where fusion keeps ``n`` latents side by side, the first transposed convolution therefore has ``n`` times as
        many input channels, and every block keeps its place.
        """
        sizes = self.sizes()
        if fused % prod(sizes[-1]):
            raise ValueError(
                f"{fused} fused features cannot be cut into maps of {sizes[-1][0]}x{sizes[-1][1]} for the image decoder"
            )
        maps = fused // prod(sizes[-1])
        channels = (maps, *self.channels[-2::-1], self.colours)
        layers: list[nn.Module] = [nn.Unflatten(1, (maps, *sizes[-1]))]
        for index, (small, large) in enumerate(zip(sizes[:0:-1], sizes[-2::-1], strict=True)):
            missing = tuple(
                want - ((have - 1) * self.stride - 2 * self.padding + self.kernel)
                for have, want in zip(small, large, strict=True)
            )
            layers += [
                nn.ConvTranspose2d(
                    channels[index], channels[index + 1], self.kernel, self.stride, self.padding, missing
                ),
                nn.ReLU(),
            ]
        return nn.Sequential(*layers[:-1])


@dataclass(frozen=True)
class VectorSpec:
    """A modality of flat vectors ``(batch, features)``, such as a window of sensor readings, in a perceptron.

    The encoder has ReLU after every layer, the last included, as the paper says; its latents are therefore never
    negative. The decoder mirrors the widths and ends linearly, since standardised signals have both signs.

    Parameters
    ----------
    features : numbers per sample.
    widths : hidden widths of the encoder, before the latent.

    Raises
    ------
    ValueError : a number below 1.
    """

    features: int
    widths: Sequence[int] = PAPER_WIDTHS

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        _positive("features and widths", self.features, *self.widths)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return (self.features,)

    @property
    def natural_latent(self) -> None:
        """A perceptron can end with any latent size."""
        return None

    def encoder(self, latent: int) -> nn.Module:
        """Vector to latent vector."""
        return nn.Sequential(*_perceptron((self.features, *self.widths, latent)))

    def decoder(self, fused: int) -> nn.Module:
        """Fused vector to vector."""
        return nn.Sequential(*_perceptron((fused, *reversed(self.widths), self.features))[:-1])


Spec = ImageSpec | VectorSpec


def specs_for(
    samples: Mapping[str, Tensor],
    channels: Sequence[int] = PAPER_CHANNELS,
    widths: Sequence[int] = PAPER_WIDTHS,
) -> dict[str, Spec]:
    """Specifications that fit the given batch: images where it has four axes, vectors where it has two.

    Raises
    ------
    ValueError : no modality, or a tensor with another number of axes.
    """
    if not samples:
        raise ValueError("wants at least one modality, got none")
    specs: dict[str, Spec] = {}
    for name, tensor in samples.items():
        if tensor.ndim == 4:
            specs[name] = ImageSpec(size=tuple(tensor.shape[2:]), channels=channels, colours=tensor.shape[1])
        elif tensor.ndim == 2:
            specs[name] = VectorSpec(features=tensor.shape[1], widths=widths)
        else:
            raise ValueError(
                f"modality {name!r} has shape {tuple(tensor.shape)}; wants (batch, colours, height, width) "
                f"or (batch, features)"
            )
    return specs


def _perceptron(widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return layers


def _positive(what: str, *values: object) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{what} must be whole numbers from 1, got {value!r}")
