"""Optimal transport between finite clouds of points, exactly: distances, the critic that attains W₁, sampling bias.

Exact means the linear programme itself, solved by the network simplex of POT (Python Optimal Transport), without
entropic smoothing. Paper C is the paper on class-conditional autoencoders, discriminative embedding and adversarial
alignment; proofs: page "alignment/critic".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, log, pi
from typing import Any

import numpy as np
import ot
from jaxtyping import Float
from scipy.spatial.distance import cdist
from scipy.special import betaln

__all__ = ["Critic", "optimal_critic", "sampling_floor", "wasserstein"]


def wasserstein(
    first: Any, second: Any, first_weights: Any = None, second_weights: Any = None, *, order: int = 1
) -> float:
    """The Wasserstein distance W₁ or W₂ between two weighted clouds, Euclidean cost; in the unit of the points.

    Parameters
    ----------
    first, second: points, shape (point, d), or (point,) on the line; arrays, tensors or lists.
    first_weights, second_weights: shape (point,), not negative, sum 1; equal weights by default.
    order: 1, or 2 for the square root of the least mean squared distance.

    Raises
    ------
    ValueError: an empty cloud, points that are not finite, clouds of unequal dimension, weights that are negative, do
        not sum to 1 or do not fit the points, or another order.
    RuntimeError: the solver gave up.
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order}")
    x, y, a, b = _clouds(first, second, first_weights, second_weights)
    total, _ = _solved(a, b, _distances(x, y) ** order)
    return max(total, 0.0) ** (1 / order)


@dataclass(frozen=True, eq=False)
class Critic:
    """A function with Lipschitz constant 1 on the whole space: a lower envelope of cones, min_j (h_j + ‖x − y_j‖).

    Its gradient has length exactly 1 wherever it exists, which is almost everywhere.

    anchors: y_j, shape (anchor, d). heights: h_j, shape (anchor,).
    """

    anchors: Float[np.ndarray, "anchor d"]
    heights: Float[np.ndarray, " anchor"]

    def __call__(self, points: Any) -> Float[np.ndarray, " point"]:
        """Values at points, shape (point, d), or (point,) on the line."""
        where = _points("points", points)
        if where.shape[1] != self.anchors.shape[1]:
            raise ValueError(f"the critic lives in {self.anchors.shape[1]} dimensions, points have {where.shape[1]}")
        return (_distances(where, self.anchors) + self.heights).min(axis=1)


def optimal_critic(first: Any, second: Any, first_weights: Any = None, second_weights: Any = None) -> Critic:
    """The critic D that attains W₁ = E D(first) − E D(second), by Kantorovich–Rubinstein duality.

    Parameters and errors are those of :func:`wasserstein`. Of the many optimal critics this is a lower envelope of
    cones with tips at the points of `second` that carry weight.
    """
    x, y, a, b = _clouds(first, second, first_weights, second_weights)
    x, y, a, b = x[a > 0], y[b > 0], a[a > 0], b[b > 0]
    _, prices = _solved(a, b, _distances(x, y))
    return Critic(y, -prices)


def sampling_floor(batch: int, dimension: int, peak: float) -> float:
    """Least expected W₁ between two independent batches of one and the same law, whose true distance is 0.

    For a law on R^d with density at most `peak` it is at least R Γ(1 + 1/d) Γ(B + 1)/Γ(B + 1 + 1/d), which falls like
    B^(−1/d); R is the radius of a ball of volume 1/peak. Raises `ValueError` on batch or dimension below 1, or a peak
    that is not positive.
    """
    if batch < 1 or dimension < 1 or not peak > 0:
        raise ValueError(
            f"wanted batch ≥ 1, dimension ≥ 1 and a positive peak; got {batch}, {dimension} and {peak}"
        )  # fmt: skip
    unit_ball = dimension / 2 * log(pi) - lgamma(dimension / 2 + 1)
    log_radius = -(log(peak) + unit_ball) / dimension
    return exp(log_radius + betaln(1 / dimension, batch + 1)) / dimension


# Pivots of the network simplex before it gives up; batches of a few thousand points need far fewer.
_STEPS = 10**7


def _solved(a: np.ndarray, b: np.ndarray, cost: np.ndarray) -> tuple[float, np.ndarray]:
    """Least total cost, and the dual prices of the second cloud."""
    total, log_ = ot.emd2(a, b, cost, numItermax=_STEPS, log=True)
    if log_["warning"] is not None:
        raise RuntimeError(f"the network simplex did not solve the transport problem: {log_['warning']}")
    return float(total), np.asarray(log_["v"], dtype=float)


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Not ot.dist, which expands the square and leaves about 1e-8 between equal points.
    return cdist(x, y)


def _clouds(first: Any, second: Any, first_weights: Any, second_weights: Any) -> tuple[np.ndarray, ...]:
    x, y = _points("first", first), _points("second", second)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"clouds of one dimension wanted, got {x.shape[1]} and {y.shape[1]}")
    return x, y, _weights("first", first_weights, len(x)), _weights("second", second_weights, len(y))


def _plain(given: Any) -> np.ndarray:
    return np.asarray(given.detach().cpu() if hasattr(given, "detach") else given, dtype=float)


def _points(name: str, given: Any) -> np.ndarray:
    points = _plain(given)
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or 0 in points.shape:
        raise ValueError(f"{name} must be a cloud of shape (point, d) with at least one point, got {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"{name} holds points that are not finite")
    return np.ascontiguousarray(points)


def _weights(name: str, given: Any, count: int) -> np.ndarray:
    weights = np.full(count, 1 / count) if given is None else _plain(given)
    if weights.shape != (count,):
        raise ValueError(f"the {name} cloud has {count} points and weights of shape {weights.shape}")
    if not (weights >= 0).all():
        raise ValueError(f"weights of the {name} cloud must not be negative, got {weights.min()}")
    if abs(weights.sum() - 1) > 1e-9:
        raise ValueError(f"weights of the {name} cloud must sum to 1, they sum to {weights.sum()}")
    return weights / weights.sum()
