"""Certified operator norms against dense singular values, and refusal of what is not a chain."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmfusion.measure import certified
from mmfusion.measure.lipschitz import spectral_lower_bound


def dense_norm(layer, shape):
    """Spectral norm by brute force: apply the layer without its bias to every basis vector."""
    basis = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    with torch.no_grad():
        layer = layer.double()
        matrix = (layer(basis) - layer(torch.zeros(1, *shape, dtype=torch.float64))).flatten(1)
    return float(torch.linalg.matrix_norm(matrix, ord=2))


@settings(max_examples=30, deadline=None)
@given(
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    size=st.integers(5, 9),
    transposed=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_certificate_is_at_least_the_dense_norm(kernel, stride, padding, channels, size, transposed, seed):
    torch.manual_seed(seed)
    if transposed and (size - 1) * stride - 2 * padding + kernel < 1:
        return
    make = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = make(*channels, kernel, stride, padding)
    shape = (channels[0], size, size)
    exact = dense_norm(layer, shape)
    assert certified._symbol_norm(certified._phases(layer), 8) >= exact * (1 - 1e-9)
    assert certified._schur_norm(certified._phases(layer)) >= exact * (1 - 1e-9)
    with torch.no_grad():
        assert certified._output_shape(layer, shape) == layer(torch.zeros(1, *shape, dtype=torch.float64)).shape[1:]
    (bound,) = certified.layer_bounds(layer, shape, iterations=200)
    assert bound.lower <= exact * (1 + 1e-9)
    assert bound.lower >= exact * 0.98
    assert exact <= bound.upper


def test_small_operators_are_exact():
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 5, 2, 1)
    (bound,) = certified.layer_bounds(layer, (3, 11, 11), iterations=300)
    assert bound.method == "exact"
    assert bound.upper == pytest.approx(dense_norm(layer, (3, 11, 11)), rel=1e-6)
    assert bound.upper == pytest.approx(bound.lower, rel=1e-3)


def test_the_reshaped_kernel_is_not_the_operator():
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 16, 5, padding=2)
    reshaped = float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2))
    (bound,) = certified.layer_bounds(layer, (3, 24, 24))
    assert bound.lower > 1.5 * reshaped


def test_symbol_tightens_with_the_grid_and_is_close_on_large_images():
    torch.manual_seed(1)
    layer = nn.Conv2d(3, 8, 5, 2, 1)
    coarse, fine = (certified.layer_bounds(layer, (3, 64, 64), grid=g)[0] for g in (6, 48))
    assert coarse.method == fine.method == "symbol"
    assert fine.lower <= fine.upper < coarse.upper
    assert fine.upper < 1.02 * fine.lower


def test_linear_layers_and_products():
    layer = nn.Linear(2, 2, bias=True)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    assert certified.certified_upper_bound(layer, (2,)) == pytest.approx(3.0)
    net = nn.Sequential(layer, nn.ReLU(), layer, nn.Sigmoid())
    assert certified.certified_upper_bound(net, (2,)) == pytest.approx(9 / 4)
    assert certified.certified_upper_bound(nn.LeakyReLU(-2.0), (2,)) == 2.0


def test_bracket_of_a_convolutional_encoder_and_decoder():
    torch.manual_seed(2)
    encoder = nn.Sequential(
        nn.Conv2d(3, 8, 5, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 5, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(392, 12)
    )
    decoder = nn.Sequential(
        nn.Linear(12, 392), nn.Unflatten(1, (8, 7, 7)), nn.ReLU(), nn.ConvTranspose2d(8, 3, 5, 2, 1, output_padding=1)
    )
    for net, points in ((encoder, torch.rand(8, 3, 32, 32)), (decoder, torch.rand(8, 12))):
        lower = float(spectral_lower_bound(net, points).max())
        assert 0 < lower < certified.certified_upper_bound(net, points.shape[1:])


def test_parametrised_layers_are_seen_as_applied():
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6), n_power_iterations=50).eval()
    (bound,) = certified.layer_bounds(layer, (6,))
    assert bound.kind == "Linear"
    assert bound.upper == pytest.approx(1.0, rel=1e-4)


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return x + self.layer(x)


class Functional(Skip):
    def forward(self, x):
        return self.layer(x).relu_()


class Twice(Skip):
    def forward(self, x):
        return self.layer(2 * x)


@pytest.mark.parametrize("module", [Skip(), Functional(), Twice()])
def test_what_is_not_a_chain_is_refused(module):
    with pytest.raises(ValueError, match="chain"):
        certified.certified_upper_bound(module, (3,))


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.Conv2d(2, 2, 3, padding="same"), (2, 8, 8), "padding"),
        (nn.Conv2d(2, 2, 3, padding_mode="circular", padding=1), (2, 8, 8), "padding"),
        (nn.Conv2d(2, 2, 3, groups=2), (2, 8, 8), "groups"),
        (nn.Conv2d(2, 2, 3, dilation=2), (2, 8, 8), "dilation"),
        (nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True)), (3,), "in-place"),
        (nn.Softmax(dim=1), (3,), "chain"),
    ],
)
def test_unsupported_layers_are_refused(module, shape, message):
    with pytest.raises(ValueError, match=message):
        certified.certified_upper_bound(module, shape)


def test_a_grid_too_coarse_for_the_kernel_is_refused():
    with pytest.raises(ValueError, match="grid"):
        certified.layer_bounds(nn.Conv2d(3, 3, 7), (3, 40, 40), grid=6)


def test_hooks_are_removed_even_after_a_refusal():
    module = Skip()
    with pytest.raises(ValueError):
        certified.certified_upper_bound(module, (3,))
    assert not module.layer._forward_hooks
