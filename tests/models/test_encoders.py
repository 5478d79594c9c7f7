import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmfusion.models import ImageSpec, VectorSpec, parameter_count, specs_for


def test_sizes_and_parameter_counts_of_the_paper():
    spec = ImageSpec(256)
    assert [height for height, _ in spec.sizes()] == [256, 127, 63, 31, 15, 7, 3]
    assert spec.natural_latent == 288
    assert parameter_count(spec.encoder(288)) == 1_146_144
    assert parameter_count(spec.decoder(288)) == 1_146_115


@pytest.mark.parametrize("features", [1, 120, 400])
def test_sensor_encoder_of_the_paper(features):
    assert parameter_count(VectorSpec(features).encoder(288)) == 64 * features + 64 + 197_664


def test_activations():
    encoder, decoder = ImageSpec(32, (4, 4)).encoder(196), ImageSpec(32, (4, 4)).decoder(196)
    kinds = [type(layer).__name__ for layer in encoder]
    assert kinds == ["Conv2d", "ReLU", "Conv2d", "Flatten"]
    assert [type(layer).__name__ for layer in decoder] == ["Unflatten", "ConvTranspose2d", "ReLU", "ConvTranspose2d"]
    perceptron = VectorSpec(9, (8, 7)).encoder(6)
    assert [type(layer).__name__ for layer in perceptron] == ["Linear", "ReLU"] * 3
    assert [layer.out_features for layer in VectorSpec(9, (8, 7)).decoder(12)[::2]] == [7, 8, 9]
    assert isinstance(VectorSpec(9, (8, 7)).decoder(12)[-1], torch.nn.Linear)


@given(height=st.integers(9, 70), width=st.integers(9, 70), layers=st.integers(1, 4), blocks=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_decoder_restores_every_size(height, width, layers, blocks):
    try:
        spec = ImageSpec((height, width), (3,) * layers, colours=2)
    except ValueError:
        assume(False)
    latent = spec.natural_latent
    image = torch.rand(2, 2, height, width)
    assert spec.encoder(latent)(image).shape == (2, latent)
    assert spec.decoder(blocks * latent)(torch.rand(2, blocks * latent)).shape == image.shape


def test_blocks_of_the_fused_vector_become_channels():
    spec = ImageSpec(32, (4, 5))
    decoder = spec.decoder(2 * spec.natural_latent)
    maps = decoder[0](torch.arange(2.0 * spec.natural_latent)[None])
    assert maps.shape == (1, 10, 7, 7)
    assert torch.equal(maps[0, :5].flatten(), torch.arange(float(spec.natural_latent)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ImageSpec(64), "64x64 is too small for 6 convolutions: layer 6 cannot halve 1x1"),
        (lambda: ImageSpec(2, (4,)), "layer 1 cannot halve 2x2"),
        (lambda: ImageSpec((40, 6), (4, 4, 4)), "too small"),
        (lambda: ImageSpec(32, ()), "at least one convolution"),
        (lambda: ImageSpec(32, (4, 0)), "whole numbers from 1, got 0"),
        (lambda: ImageSpec(32, (4,), padding=-1), "padding must not be negative"),
        (lambda: ImageSpec((32, 32, 3), (4,)), "one number or \\(height, width\\)"),
        (lambda: VectorSpec(0), "whole numbers from 1, got 0"),
        (lambda: VectorSpec(3, (True,)), "whole numbers from 1, got True"),
        (lambda: ImageSpec(32, (4, 4)).encoder(10), "196 latent features, got latent=10"),
        (lambda: ImageSpec(32, (4, 4)).decoder(50), "50 fused features cannot be cut into maps of 7x7"),
    ],
)
def test_bad_specifications(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_specs_for_a_batch():
    specs = specs_for({"camera": torch.zeros(2, 1, 20, 24), "sensor": torch.zeros(2, 7)}, (4, 4), (5,))
    assert specs["camera"] == ImageSpec((20, 24), (4, 4), colours=1)
    assert specs["sensor"] == VectorSpec(7, (5,))
    with pytest.raises(ValueError, match="'odd' has shape \\(2, 3, 4\\)"):
        specs_for({"odd": torch.zeros(2, 3, 4)})
    with pytest.raises(ValueError, match="at least one modality"):
        specs_for({})
