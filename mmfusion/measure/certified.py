"""Certified upper bounds on the Lipschitz constant of a chain of layers.

A network that applies layers one after the other is Lipschitz with the product of the layers' constants. Activations
contribute a known constant; a linear layer contributes the norm of the *operator*, which for a convolution is not the
norm of its reshaped kernel. Three ways to bound that norm from above are used, each rigorous up to float64 rounding,
for which every bound is widened by a relative 1e-8:

``exact``   the Gram matrix of the dense operator, where one side is small enough to write it down;
``symbol``  the largest singular value of the convolution's symbol over all frequencies. Cropping an infinite signal to
            a zero-padded image can only lower the norm. Between the grid's frequencies the symbol is controlled by
            Riesz's inequality (a trigonometric polynomial of type t that peaks at x stays above cos(t h) times its peak
            at distance h), a factor 1/cos(t pi/N) per axis;
``schur``   the root of (largest row sum) x (largest column sum) of absolute values, seldom tight.

Power iteration on the operator itself gives the matching lower value, so that looseness shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Linear = Callable[[Tensor], Tensor]

ROUNDING = 1e-8
_DENSE_SIDE = 512
_DENSE_ENTRIES = 2**23

_ACTIVATIONS: dict[type[nn.Module], float] = {
    nn.ReLU: 1.0,
    nn.Tanh: 1.0,
    nn.Sigmoid: 0.25,
    nn.Identity: 1.0,
    nn.Flatten: 1.0,
    nn.Unflatten: 1.0,
}


@dataclass(frozen=True)
class LayerBound:
    """Bounds on the Lipschitz constant of one layer at the input size it meets.

    ``lower`` comes from power iteration (a norm that the operator attains), ``upper`` is certified, and ``method`` says
    which certificate was the tightest: ``exact``, ``symbol``, ``schur``, or ``activation``.
    """

    name: str
    kind: str
    lower: float
    upper: float
    method: str


def certified_upper_bound(module: nn.Module, input_shape: Sequence[int], grid: int = 16) -> float:
    """A number that the Lipschitz constant of ``module`` does not exceed, for inputs of this shape.

    The product of :func:`layer_bounds`; rigorous, often loose. ``input_shape`` is the shape of one input, without the
    batch axis; ``grid`` is explained there.

    Raises ``ValueError`` where the module is not a chain of supported layers.

    Source: Altinses and Schwung, Stabilizing Multimodal Autoencoders, Equation (39), with operator norms of
    convolutions as they are applied.
    """
    return math.prod(layer.upper for layer in layer_bounds(module, input_shape, 0, grid))


def layer_bounds(
    module: nn.Module,
    input_shape: Sequence[int],
    iterations: int = 50,
    grid: int = 16,
    generator: torch.Generator | None = None,
) -> list[LayerBound]:
    """Bounds for each layer of a chain, in the order in which they are applied.

    The chain is found by running the module once and following the memory: each layer must receive the previous layer's
    output, unchanged or reshaped. Anything else between layers (a functional activation, a skip, a scaling) is refused.

    Parameters
    ----------
    module : an ``nn.Linear``, ``nn.Conv2d``, ``nn.ConvTranspose2d``, an activation, or a module that chains these.
    input_shape : shape of one input, without the batch axis.
    iterations : power iterations for the lower value; 0 leaves it at 0.
    grid : frequencies per axis for the symbol bound. Larger is tighter and slower; any value that is accepted is safe.
    """
    layers = []
    for name, layer, shape in _chain(module, tuple(input_shape)):
        kind = type(layer).__name__.removeprefix("Parametrized")
        constant = _activation_constant(layer)
        if constant is not None:
            layers.append(LayerBound(name, kind, 0.0, constant, "activation"))
            continue
        upper, method = _operator_upper(layer, shape, grid)
        lower = _operator_lower(layer, shape, iterations, generator) if iterations else 0.0
        layers.append(LayerBound(name, kind, lower, upper * (1 + ROUNDING), method))
    return layers


def _chain(module: nn.Module, shape: tuple[int, ...]) -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    found: list[tuple[str, nn.Module, tuple[int, ...]]] = []
    last: dict[str, tuple[Tensor, int]] = {}
    handles = []
    parameter = next(module.parameters(), torch.zeros(()))
    example = torch.zeros(1, *shape, dtype=parameter.dtype, device=parameter.device)

    def continues(tensor: Tensor) -> bool:
        previous, version = last["tensor"]
        return (
            tensor.untyped_storage().data_ptr() == previous.untyped_storage().data_ptr()
            and tensor.numel() == previous.numel()
            and tensor._version == version
        )

    def visit(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if len(inputs) != 1 or not continues(inputs[0]):
                label = name or "the module"
                raise ValueError(f"{label} does not take the previous layer's output: not a chain of layers")
            found.append((name, layer, tuple(inputs[0].shape[1:])))
            keep.append(output)
            last["tensor"] = (output, output._version)

        return hook

    keep: list[Tensor] = [example]
    last["tensor"] = (example, example._version)
    try:
        for name, layer in module.named_modules():
            if "parametrizations" not in name and _is_leaf(layer):
                if getattr(layer, "inplace", False):
                    raise ValueError(f"{name}: in-place layers cannot be followed; use inplace=False")
                handles.append(layer.register_forward_hook(visit(name)))
        with torch.no_grad():
            result = module(example)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(result, Tensor) or not continues(result):
        raise ValueError(f"{type(module).__name__} does more than apply layers in a chain: no product bound exists")
    if not found and result.shape != example.shape:
        raise ValueError(f"{type(module).__name__} holds no layer that is known here")
    return found


def _is_leaf(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)) or _activation_constant(layer) is not None


def _activation_constant(layer: nn.Module) -> float | None:
    if isinstance(layer, nn.LeakyReLU):
        return max(1.0, abs(layer.negative_slope))
    return next((constant for kind, constant in _ACTIVATIONS.items() if isinstance(layer, kind)), None)


def _operator_upper(layer: nn.Module, shape: tuple[int, ...], grid: int) -> tuple[float, str]:
    if isinstance(layer, nn.Linear):
        return _gram_norm(layer.weight.detach().double()), "exact"
    _check_convolution(layer)
    out_shape = _output_shape(layer, shape)
    rows, columns = math.prod(out_shape), math.prod(shape)
    if min(rows, columns) <= _DENSE_SIDE and rows * columns <= _DENSE_ENTRIES:
        return _gram_norm(_dense(layer, shape, out_shape)), "exact"
    phases = _phases(layer)
    return min((_schur_norm(phases), "schur"), (_symbol_norm(phases, grid), "symbol"))


def _check_convolution(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ValueError(f"only numeric zero padding is certified; got {layer.padding_mode!r}, {layer.padding!r}")
    if layer.groups != 1 or tuple(layer.dilation) != (1, 1):
        raise ValueError(f"only groups=1, dilation=1 are certified; got {layer.groups} and {tuple(layer.dilation)}")


def _output_shape(layer: nn.Conv2d | nn.ConvTranspose2d, shape: tuple[int, ...]) -> tuple[int, ...]:
    transposed = isinstance(layer, nn.ConvTranspose2d)
    extras = layer.output_padding if transposed else (0, 0)
    sizes = []
    for n, kernel, stride, padding, extra in zip(
        shape[1:], layer.kernel_size, layer.stride, layer.padding, extras, strict=True
    ):
        small = (n + 2 * padding - kernel) // stride + 1
        sizes.append((n - 1) * stride - 2 * padding + kernel + extra if transposed else small)
    return (layer.out_channels, *sizes)


def _operator(layer: nn.Module, shape: tuple[int, ...]) -> tuple[Linear, Linear]:
    """The layer without bias in float64, and its adjoint."""
    weight = layer.weight.detach().double()
    if isinstance(layer, nn.Linear):
        return (lambda x: F.linear(x, weight)), (lambda y: F.linear(y, weight.T))
    convolve = _convolution(weight, layer.stride, layer.padding)
    if isinstance(layer, nn.Conv2d):
        return convolve, _transposed_convolution(weight, layer.stride, layer.padding, shape[1:])
    size = _output_shape(layer, shape)[1:]
    return _transposed_convolution(weight, layer.stride, layer.padding, size), convolve


def _convolution(weight: Tensor, stride, padding) -> Linear:
    return lambda x: F.conv2d(x, weight, stride=stride, padding=padding)


def _transposed_convolution(weight: Tensor, stride, padding, size: Sequence[int]) -> Linear:
    def apply(y: Tensor) -> Tensor:
        extra = [
            n - ((m - 1) * s - 2 * p + k)
            for n, m, s, p, k in zip(size, y.shape[2:], stride, padding, weight.shape[2:], strict=True)
        ]
        return F.conv_transpose2d(y, weight, stride=stride, padding=padding, output_padding=extra)

    return apply


def _gram_norm(matrix: Tensor) -> float:
    gram = matrix @ matrix.mT.conj() if matrix.shape[-2] <= matrix.shape[-1] else matrix.mT.conj() @ matrix
    return math.sqrt(max(0.0, float(torch.linalg.eigvalsh(gram)[..., -1].max())))


def _dense(layer: nn.Module, shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Tensor:
    apply, adjoint = _operator(layer, shape)
    forward = math.prod(shape) <= math.prod(out_shape)
    side = shape if forward else out_shape
    basis = torch.eye(math.prod(side), dtype=torch.float64, device=layer.weight.device).reshape(-1, *side)
    return (apply if forward else adjoint)(basis).flatten(1)


def _phases(layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """Polyphase form of the kernel: stride s on one image equals stride 1 on its s x s interleaved images.

    Axes: vertical taps, horizontal taps, channels of the small image, channels and phases of the large one. The
    transposed convolution is the adjoint, so it has the same form and the same norm.
    """
    weight = layer.weight.detach().double()
    small, large, height, width = weight.shape
    (down, across), taps = layer.stride, [-(-n // s) for n, s in zip((height, width), layer.stride, strict=True)]
    weight = F.pad(weight, (0, taps[1] * across - width, 0, taps[0] * down - height))
    phases = weight.reshape(small, large, taps[0], down, taps[1], across).permute(2, 4, 0, 1, 3, 5)
    return phases.reshape(*taps, small, -1)


def _schur_norm(phases: Tensor) -> float:
    sums = phases.abs().sum((0, 1))
    return math.sqrt(float(sums.sum(1).max() * sums.sum(0).max()))


def _symbol_norm(phases: Tensor, grid: int) -> float:
    taps = phases.shape[:2]
    if grid <= max(taps) - 1:
        raise ValueError(f"grid must exceed the number of taps less one, {max(taps) - 1}; got {grid}")
    symbol = torch.fft.rfft2(phases, s=(grid, grid), dim=(1, 0))
    between = math.prod(1 / math.cos((count - 1) / 2 * math.pi / grid) for count in taps)
    return _gram_norm(symbol) * between


def _operator_lower(
    layer: nn.Module, shape: tuple[int, ...], iterations: int, generator: torch.Generator | None
) -> float:
    apply, adjoint = _operator(layer, shape)
    vector = torch.randn(1, *shape, dtype=torch.float64, generator=generator).to(layer.weight.device)
    for _ in range(iterations):
        vector = vector / vector.norm().clamp_min(1e-300)
        vector = adjoint(apply(vector))
    length = vector.norm()
    return float(apply(vector / length).norm()) if length > 0 else 0.0
