"""Every Lipschitz measure of a multimodal autoencoder at one moment of training, as one flat dictionary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmfusion import bounds
from mmfusion.fusion import BilinearAttention, Concat, Fusion, MatchedConcat, NormalisedAttention, ScalarConcat, Sum
from mmfusion.measure.certified import certified_upper_bound
from mmfusion.measure.lipschitz import algorithm1_map, max_frobenius, spectral_lower_bound
from mmfusion.models.autoencoder import MultimodalAutoencoder

Batch = Mapping[str, Float[Tensor, "batch *shape"]]


def measure_autoencoder(
    model: MultimodalAutoencoder,
    batch: Batch,
    generator: torch.Generator | None = None,
    samples: int = 8,
    *,
    iterations: int = 12,
    pairs: int = 32,
    probes: int | None = 8,
    upper: bool = True,
) -> dict[str, float]:
    """Lipschitz constants of the parts of an autoencoder and of the whole.

    Parameters
    ----------
    model : measured in evaluation mode; its mode is restored.
    batch : samples as the encoders take them; the first ``samples`` of them are used.
    generator : source of directions and pairs; without one, a fixed seed, so that a measurement neither uses up the
        training's random numbers nor differs from one call to the next.
    samples : points at which Jacobians are taken; a quarter of them for the gradients, which cost more.
    iterations : of each power iteration; half as many for the gradients.
    pairs : pairs of Algorithm 1, uniform in the cube spanned by the smallest and largest value of the batch.
    probes : random combinations of outputs for the Frobenius norms; ``None`` computes them exactly, at a price.
    upper : also certify upper bounds, the dearest part for wide convolutions.

    Returns
    -------
    ``encoder/<m>/…``, ``decoder/<m>/…``, ``fusion/…`` and ``end_to_end/…`` with, where they apply,

    ``lower`` : largest spectral norm of the Jacobian over the samples, by power iteration; a true lower bound.
    ``upper`` : certified. For attention it bounds the Jacobian wherever the latents' norms stay within the range of the
        samples.
    ``frobenius`` : largest Frobenius norm of the Jacobian (paper A, Eq. 8).
    ``algorithm1`` : largest secant slope over uniform pairs (paper A, Algorithm 1, applied to the map).

    ``product/lower`` is (largest encoder) x (fusion) x (all decoders stacked), each by ``lower``. Like
    ``end_to_end/lower`` it does not change when encoders are scaled by a common factor and decoders undo it.
    ``gradient/encoder/<m>`` and ``gradient/decoder/<m>`` are local Lipschitz constants of the map from the sample to
    the gradient of the squared error in that part's parameters (Theorems 3.1 and 3.2); ``gradient/encoder`` and
    ``gradient/decoder`` are their largest.

    Raises
    ------
    ValueError
        an empty batch, a batch that does not fit the model, ``samples`` below one, or a model that returns NaN.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1; got {samples}")
    model.validate(batch)
    names = list(model.encoders)
    points = {name: batch[name][:samples].detach() for name in names}
    if not len(points[names[0]]):
        raise ValueError("measure_autoencoder needs at least one sample; the batch is empty")
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    few = max(1, len(points[names[0]]) // 4)

    def lower(f: Callable[[Tensor], Tensor], at: Tensor) -> float:
        return float(spectral_lower_bound(f, at, iterations, generator=generator).max())

    def secant(f: Callable[[Tensor], Tensor], at: Tensor) -> float:
        low, high = float(at.min()), float(at.max())
        if not low < high:
            return 0.0
        kinds = {"dtype": at.dtype, "device": at.device}
        return algorithm1_map(f, tuple(at.shape[1:]), pairs, (low, high), generator=generator, **kinds)

    result: dict[str, float] = {}
    with _measuring(model):
        with torch.no_grad():
            latents = model.encode(points)
            fused = model.fuse(latents)
        whole, inputs = _on_vectors(lambda x: _stack(model(x)), points)
        fuse, stacked = _on_vectors(model.fuse, latents)
        for name in names:
            for part, module, at in (("encoder", model.encoders, points[name]), ("decoder", model.decoders, fused)):
                f = module[name]
                result[f"{part}/{name}/lower"] = lower(f, at)
                result[f"{part}/{name}/frobenius"] = max_frobenius(f, at, probes, generator)
                result[f"{part}/{name}/algorithm1"] = secant(f, at)
                if upper:
                    result[f"{part}/{name}/upper"] = certified_upper_bound(f, at.shape[1:])
        result["fusion/lower"] = lower(fuse, stacked)
        result["end_to_end/lower"] = lower(whole, inputs)
        result["end_to_end/algorithm1"] = secant(whole, inputs)
        decoders = lower(lambda u: _stack(model.decode(u)), fused)
        encoder = max(result[f"encoder/{name}/lower"] for name in names)
        result["product/lower"] = encoder * result["fusion/lower"] * decoders
        if upper:
            result["fusion/upper"] = fusion_upper_bound(model.fusion, latents)
            result["end_to_end/upper"] = (
                max(result[f"encoder/{name}/upper"] for name in names)
                * result["fusion/upper"]
                * math.hypot(*(result[f"decoder/{name}/upper"] for name in names))
            )
        some = {name: at[:few] for name, at in points.items()}
        result |= gradient_constants(model, some, max(1, iterations // 2), generator)
    return result


def fusion_upper_bound(fusion: Fusion, latents: Mapping[str, Float[Tensor, "batch latent"]]) -> float:
    """Bound on the norm of the Jacobian of a fusion operator.

    For sums and concatenations it holds everywhere, and where these are linear it is the norm itself. For attention
    it holds wherever no latent is longer than the longest in ``latents`` and, with unit inputs, none shorter than the
    shortest (or ``eps``).

    Raises ``TypeError`` for an operator it does not know.

    Sources: :mod:`mmfusion.bounds`, with score maps of constant l and value b at zero: (l R + b)(3 l R + b), and for
    scores of unit vectors that scale the original ones (l + b)(2 l + b + l rho), rho being the ratio of longest to
    shortest, which is 2 + rho for normalised linear maps.
    """
    if isinstance(fusion, Sum):
        return abs(fusion.scale) * math.sqrt(len(fusion.modalities) * fusion.copies)
    if isinstance(fusion, MatchedConcat):
        return abs(fusion.scale) * (1 + _score_constants(fusion.latent_maps)[0])
    if isinstance(fusion, ScalarConcat):
        return abs(fusion.scale) * float(fusion.scalars.detach().abs().max())
    if isinstance(fusion, Concat):
        return abs(fusion.scale)
    if not isinstance(fusion, BilinearAttention):
        raise TypeError(f"no bound is known for {type(fusion).__name__}")
    norms = fusion.stack(latents).detach().double().norm(dim=-1)
    temperature = getattr(fusion, "temperature", 1.0)
    if not (isinstance(fusion, NormalisedAttention) and fusion.unit_inputs):
        slope, offset = _score_constants(fusion.score_maps)
        return float(bounds.attention_lipschitz_scores(slope, offset, float(norms.max()))) / temperature
    slope, offset = _score_constants(fusion.score_maps)
    shortest = max(float(norms.min()), fusion.eps)
    if fusion.scale_output == "original":
        spread = float(norms.max()) / shortest
        return (slope + offset) * (slope + offset + slope * (1 + spread)) / temperature
    return float(bounds.attention_lipschitz_scores(slope, offset, 1.0)) / (temperature * shortest)


def gradient_constants(
    model: MultimodalAutoencoder,
    batch: Batch,
    iterations: int = 6,
    generator: torch.Generator | None = None,
) -> dict[str, float]:
    """Local Lipschitz constants of the map from one sample to the gradient of its squared reconstruction error.

    At each sample, the norm of the mixed derivative in input and parameters of one encoder or decoder, from below by
    power iteration; the largest over the samples counts. As in the theorems, the sample is input and target at once.
    ReLU networks also make these gradients jump; that part, which is infinite, is not seen at data points.

    Source: the constants that Theorems 3.1 and 3.2 of paper A bound.
    """
    blocks = {
        f"gradient/{part}/{name}": list(modules[name].parameters())
        for part, modules in (("encoder", model.encoders), ("decoder", model.decoders))
        for name in model.encoders
    }
    result = dict.fromkeys(blocks, 0.0)
    for index in range(len(next(iter(batch.values())))):
        sample = {name: tensor[index : index + 1] for name, tensor in batch.items()}
        with torch.enable_grad():
            reconstruct, x = _on_vectors(lambda inputs: _stack(model(inputs)), sample)
            x.requires_grad_(True)
            error = (x - reconstruct(x)).square().sum()
            (slope,) = torch.autograd.grad(error, x, create_graph=True)
        for key, parameters in blocks.items():
            result[key] = max(result[key], _mixed_norm(error, slope, x, parameters, iterations, generator))
    for part in ("encoder", "decoder"):
        result[f"gradient/{part}"] = max(result[f"gradient/{part}/{name}"] for name in model.encoders)
    return result


def _mixed_norm(
    error: Tensor,
    slope: Tensor,
    x: Tensor,
    parameters: list[nn.Parameter],
    iterations: int,
    generator: torch.Generator | None,
) -> float:
    """Norm of the mixed second derivative. Both products come from one graph, as mixed partials commute."""
    with torch.enable_grad():
        gradient = torch.autograd.grad(error, parameters, create_graph=True, materialize_grads=True)
    direction = torch.randn(x.shape, dtype=x.dtype, generator=generator).to(x.device)
    largest = 0.0
    for _ in range(iterations):
        length = direction.norm()
        if length == 0:
            break
        change = torch.autograd.grad(slope, parameters, direction / length, retain_graph=True, materialize_grads=True)
        largest = math.sqrt(sum(float(part.square().sum()) for part in change))
        if largest == 0:
            break
        # A block without a path from the parameters to the error has a gradient that carries no graph.
        live = [(g, c / largest) for g, c in zip(gradient, change, strict=True) if g.requires_grad]
        (direction,) = torch.autograd.grad(
            [g for g, _ in live], x, [c for _, c in live], retain_graph=True, materialize_grads=True
        )
    return largest


def _score_constants(maps: nn.Module) -> tuple[float, float]:
    """Lipschitz constant of the worst score map, and the norm of its value at zero at most."""
    slope, offset = 1.0, 0.0
    biases = list(maps.biases) or [None] * len(maps.weights)
    for weight, bias in zip(maps.effective_weights(), biases, strict=True):
        norm = float(torch.linalg.matrix_norm(weight.detach().double(), ord=2).max())
        slope *= norm
        offset = norm * offset + (0.0 if bias is None else float(bias.detach().double().norm(dim=-1).max()))
    return slope, offset


def _stack(tensors: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([tensor.flatten(1) for tensor in tensors.values()], dim=1)


def _on_vectors(f: Callable[[dict[str, Tensor]], Tensor], at: Mapping[str, Tensor]) -> tuple[Callable, Tensor]:
    """``f`` as a map of one vector per sample, and the samples as such vectors."""
    shapes = {name: tensor.shape[1:] for name, tensor in at.items()}
    sizes = [math.prod(shape) for shape in shapes.values()]

    def flat(x: Tensor) -> Tensor:
        parts = x.split(sizes, dim=1)
        return f({name: part.unflatten(1, shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)})

    return flat, _stack(at).detach()


@contextmanager
def _measuring(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
