"""Estimates of Lipschitz constants: two that a paper uses, and one that is a true lower bound.

All maps are batched: ``f`` takes ``(batch, *input)`` and returns ``(batch, *output)``, each row depending on its own
row only (no batch normalisation). Norms are Euclidean on flattened rows. Certified upper bounds, which need the layers
and not only the map, live in :mod:`mmfusion.measure.certified`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

Map = Callable[[Tensor], Tensor]
Interval = tuple[float | int, float | int]

_JACOBIAN_CHUNK = 64


def algorithm1(
    f: Map,
    dimension: int,
    samples: int,
    interval: Interval = (0.0, 1.0),
    epsilon: float | int = 1e-8,
    generator: torch.Generator | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    chunk: int = 1024,
) -> float:
    """Lipschitz constant of the gradient of a scalar function, estimated from uniform pairs.

    Draws ``samples`` pairs from the cube ``[a, b]^dimension`` and returns the largest
    ``|grad f(x) - grad f(y)| / |x - y|`` over pairs further apart than ``epsilon``; 0 if there is none. Each ratio is a
    lower bound on the constant over the cube, and so is the result.

    Parameters
    ----------
    f : map from ``(batch, dimension)`` to ``(batch,)``, differentiable.
    dimension, samples : number of coordinates, and of pairs.
    interval : ``(a, b)`` with ``a < b``.
    epsilon : pairs closer than this are skipped.
    generator : source of randomness.
    chunk : how many pairs are evaluated at once; bounds the memory and changes nothing else.

    Raises
    ------
    ValueError
        for an empty interval, for counts below one, or when ``f`` does not return one number per row.

    Source: Altinses and Schwung, Stabilizing Multimodal Autoencoders, Algorithm 1.
    """

    def gradient(points: Tensor) -> Tensor:
        with torch.enable_grad():
            points = points.requires_grad_(True)
            values = f(points)
        if values.shape != points.shape[:1]:
            raise ValueError(
                f"f must return one number per row, shape {tuple(points.shape[:1])}; it returned {tuple(values.shape)}"
            )
        (slopes,) = torch.autograd.grad(values.sum(), points, materialize_grads=True)
        return slopes

    return _largest_secant(gradient, (dimension,), samples, interval, epsilon, generator, dtype, device, chunk)


def algorithm1_map(
    f: Map,
    shape: tuple[int, ...],
    samples: int,
    interval: Interval = (0.0, 1.0),
    epsilon: float | int = 1e-8,
    generator: torch.Generator | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    chunk: int = 64,
) -> float:
    """Algorithm 1 with the map itself in the place of the gradient: the largest secant slope over uniform pairs.

    The paper applies Algorithm 1 to encoders and decoders, whose outputs are vectors, without saying how. We assume
    that the slope is taken of the map: for a ReLU network the gradient jumps, so the literal target would be infinite.
    ``shape`` is the shape of one input; the other parameters are those of :func:`algorithm1`.
    """
    return _largest_secant(
        torch.no_grad()(f), tuple(shape), samples, interval, epsilon, generator, dtype, device, chunk
    )


def _largest_secant(
    f: Map,
    shape: tuple[int, ...],
    samples: int,
    interval: Interval,
    epsilon: float | int,
    generator: torch.Generator | None,
    dtype: torch.dtype,
    device: torch.device | str,
    chunk: int,
) -> float:
    low, high = interval
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"interval must be finite with a < b; got ({low}, {high})")
    if min(shape, default=0) < 1:
        raise ValueError(f"every dimension must be at least 1; got {shape}")
    for name, count in (("samples", samples), ("chunk", chunk)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1; got {count}")
    if epsilon < 0:
        raise ValueError(f"epsilon must not be negative; got {epsilon}")
    largest = 0.0
    done = 0
    while done < samples:
        count = min(chunk, samples - done)
        pairs = low + (high - low) * torch.rand(2 * count, *shape, dtype=dtype, generator=generator).to(device)
        values = f(pairs)
        change = (values[:count] - values[count:]).detach().flatten(1).norm(dim=1)
        distance = (pairs[:count] - pairs[count:]).detach().flatten(1).norm(dim=1)
        apart = distance > epsilon
        if apart.any():
            largest = max(largest, float((change[apart] / distance[apart]).max()))
        done += count
    return largest


def max_frobenius(
    f: Map,
    points: Float[Tensor, "batch ..."],
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> float:
    """Largest Frobenius norm of the Jacobian of ``f`` over the given points.

    Exact at every point without ``probes``: rows or columns of the Jacobian are formed, whichever are fewer. With
    ``probes``, the squared norm is the mean over that many random sign combinations of the outputs, which is unbiased.
    The Frobenius norm is at least the spectral norm and at most the root of the rank times it, so this is neither a
    lower nor an upper bound on the Lipschitz constant.

    Raises ``ValueError`` on an empty batch, on values that are not finite, or on ``probes`` below one.

    Source: Altinses and Schwung, Stabilizing Multimodal Autoencoders, Equation (8).
    """
    _check_points(points)
    if probes is not None:
        return _probed_frobenius(f, points, probes, generator)
    with torch.no_grad():
        rows = _forward(f, points[:1])[1][0].numel()
    largest = 0.0
    for point in points.detach():
        squares = (_row_squares if rows <= point.numel() else _column_squares)(f, point, rows)
        largest = max(largest, math.sqrt(float(squares)))
    return largest


def spectral_lower_bound(
    f: Map,
    points: Float[Tensor, "batch ..."],
    iterations: int = 20,
    *,
    ascent: int = 0,
    step: float | int = 0.1,
    radius: float | int = 0.05,
    domain: Interval | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " batch"]:
    """Spectral norm of the Jacobian at each point, from below, by power iteration on Jacobian-vector products.

    Every value is ``|J v| / |v|`` for one explicit direction ``v``. Where ``f`` is differentiable at the point this is
    a limit of secant slopes, so it never exceeds the Lipschitz constant of ``f`` on any convex set around the point,
    converged or not; only rounding (relative 1e-6 in float32) is not covered. More iterations only raise it.

    Parameters
    ----------
    f : batched map; rows must not influence each other.
    points : where to differentiate, typically data.
    iterations : power iterations, one forward- and one reverse-mode product each.
    ascent : steps of gradient ascent on the point and the direction together. The objective is the central secant
        slope at distance ``radius`` rather than the norm of the Jacobian, whose gradient vanishes almost everywhere
        for piecewise linear networks. The better of the start and the steepest point visited counts, so ascent never
        lowers a value.
    step : length of an ascent step, in units of the input.
    domain : clamp the moving point to ``[low, high]`` in each coordinate.
    generator : source of the starting directions.

    Returns
    -------
    One value per point. The largest of them is the lower bound on the Lipschitz constant.
    """
    _check_points(points)
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1; got {iterations}")
    if ascent < 0:
        raise ValueError(f"ascent must not be negative; got {ascent}")
    if ascent and (step <= 0 or radius <= 0):
        raise ValueError(f"ascent needs a positive step and radius; got step {step} and radius {radius}")
    if domain is not None and not domain[0] < domain[1]:
        raise ValueError(f"domain must satisfy low < high; got {domain}")
    points = points.detach()
    directions = _unit(torch.randn(points.shape, dtype=points.dtype, generator=generator).to(points.device))
    values, directions = _power_iteration(f, points, directions, iterations)
    if not ascent:
        return values
    moved = _ascend_secant(f, points, directions, ascent, step, radius, domain)
    raised, _ = _power_iteration(f, moved, directions, iterations)
    return torch.maximum(values, raised)


def _power_iteration(f: Map, points: Tensor, directions: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Values ``|J v|`` and unit directions ``v``; one forward pass serves every iteration."""
    inputs, outputs = _forward(f, points)
    dual, pulled = _transposed(outputs, inputs)
    for _ in range(iterations):
        pushed = _pull(pulled, dual, directions)
        back = _pull(outputs, inputs, _unit(pushed))
        directions = torch.where(_row_norm(back) > 0, _unit(back), directions)
    return _pull(pulled, dual, directions).flatten(1).norm(dim=1).detach(), directions.detach()


def _ascend_secant(
    f: Map,
    points: Tensor,
    directions: Tensor,
    steps: int,
    step: float | int,
    radius: float | int,
    domain: Interval | None,
) -> Tensor:
    """Move each point uphill on its central secant slope; return, per row, the point with the steepest secant seen."""
    best_point, best_slope = points, torch.full((len(points),), -math.inf, dtype=points.dtype, device=points.device)
    point, direction = points, directions
    for _ in range(steps + 1):
        point = point.detach().requires_grad_(True)
        direction = direction.detach().requires_grad_(True)
        offset = radius * _unit(direction)
        slope = (f(point + offset) - f(point - offset)).flatten(1).norm(dim=1) / (2 * radius)
        better = slope.detach() > best_slope
        best_slope = torch.where(better, slope.detach(), best_slope)
        best_point = torch.where(_like(better, points), point.detach(), best_point)
        uphill, turn = torch.autograd.grad(slope.sum(), (point, direction), materialize_grads=True)
        point = point.detach() + step * _unit(uphill)
        if domain is not None:
            point = point.clamp(*domain)
        direction = _unit(direction.detach() + _unit(turn))
    return best_point


def _check_points(points: Tensor) -> None:
    if points.ndim < 2 or points.numel() == 0:
        raise ValueError(f"points must be a non-empty batch (batch, *input); got shape {tuple(points.shape)}")
    if not torch.isfinite(points).all():
        raise ValueError("points must be finite; got NaN or infinity")


def _forward(f: Map, points: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        inputs = points.detach().clone().requires_grad_(True)
        outputs = f(inputs)
    if outputs.ndim < 1 or len(outputs) != len(points):
        raise ValueError(f"f must return one row per point, {len(points)}; it returned shape {tuple(outputs.shape)}")
    if not torch.isfinite(outputs).all():
        raise ValueError("f returned NaN or infinity at the given points")
    if not outputs.requires_grad:
        # A constant map: give it a graph, so that its derivative reads zero instead of failing.
        outputs = outputs + 0 * inputs.flatten(1).sum(1).reshape(-1, *[1] * (outputs.ndim - 1))
    return inputs, outputs


def _transposed(outputs: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """``u`` and ``J^T u`` as a graph that is linear in ``u``: differentiating it in ``u`` gives forward products."""
    with torch.enable_grad():
        dual = torch.zeros_like(outputs, requires_grad=True)
        (pulled,) = torch.autograd.grad(outputs, inputs, dual, create_graph=True, materialize_grads=True)
    return dual, pulled


def _pull(outputs: Tensor, inputs: Tensor, cotangent: Tensor) -> Tensor:
    if not outputs.requires_grad:
        return torch.zeros_like(inputs)
    (back,) = torch.autograd.grad(outputs, inputs, cotangent, retain_graph=True, materialize_grads=True)
    return back


def _probed_frobenius(f: Map, points: Tensor, probes: int, generator: torch.Generator | None) -> float:
    if probes < 1:
        raise ValueError(f"probes must be at least 1; got {probes}")
    inputs, outputs = _forward(f, points)
    total = torch.zeros(len(points), dtype=inputs.dtype, device=inputs.device)
    for _ in range(probes):
        signs = 2.0 * torch.randint(0, 2, outputs.shape, generator=generator).to(outputs) - 1
        total += _pull(outputs, inputs, signs).flatten(1).square().sum(1)
    return float((total / probes).sqrt().max())


def _row_squares(f: Map, point: Tensor, rows: int) -> Tensor:
    """Squared norms of the Jacobian's rows, summed: one reverse pass over copies of the point, a row for each copy."""
    total = point.new_zeros(())
    for basis in _basis(rows, point):
        inputs, outputs = _forward(f, point.expand(len(basis), *point.shape))
        total += _pull(outputs, inputs, basis.reshape(outputs.shape)).square().sum()
    return total


def _column_squares(f: Map, point: Tensor, rows: int) -> Tensor:
    """The same by columns, for maps with fewer inputs than outputs: one forward-mode pass over copies of the point."""
    total = point.new_zeros(())
    for basis in _basis(point.numel(), point):
        copies = point.expand(len(basis), *point.shape).contiguous()
        _, pushed = torch.func.jvp(f, (copies,), (basis.reshape(copies.shape),))
        total += pushed.detach().square().sum()
    return total


def _basis(size: int, like: Tensor) -> Iterator[Tensor]:
    """The unit vectors of a space, in chunks of rows."""
    for start in range(0, size, _JACOBIAN_CHUNK):
        index = torch.arange(start, min(start + _JACOBIAN_CHUNK, size), device=like.device)
        yield torch.nn.functional.one_hot(index, size).to(like.dtype)


def _row_norm(rows: Tensor) -> Tensor:
    return _like(rows.flatten(1).norm(dim=1), rows)


def _unit(rows: Tensor) -> Tensor:
    """Each row at unit length; a zero row stays zero."""
    return rows / _row_norm(rows).clamp_min(torch.finfo(rows.dtype).tiny)


def _like(values: Tensor, rows: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (rows.ndim - 1))
