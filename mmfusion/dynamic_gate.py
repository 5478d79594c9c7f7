"""Fusion by weights that a network reads off each code: Eqs. (10) and (11) of paper C, and what such weights guarantee.

Paper C is the paper on class-conditional autoencoders, discriminative embedding and adversarial alignment. One scorer h
serves all modalities and sees one code at a time, so h cannot know which modality it scores, nor what the others say.
Proofs, and what masks, floors and entropy do to the weights: page "alignment/fusion-weights".
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmfusion.fusion import Features, Fusion

__all__ = ["DynamicGate", "entropy", "gate_lipschitz", "least_weight", "weight_range"]


class DynamicGate(Fusion):
    """``z = Σ_s α_s c_s`` with ``α = softmax(h(c_1) / T, …, h(c_n) / T)``; the output has the size of one code.

    The scorer h is one hidden layer with ReLU and a linear head without bias, since softmax sees no constant.

    Parameters
    ----------
    modalities, latent : see :class:`~mmfusion.fusion.Fusion`; at least two modalities.
    hidden : units of the scorer's hidden layer, `latent` by default.
    bound : scores are ``bound · tanh(h / bound)``; no weight then falls below :func:`least_weight`. ``None`` leaves
        them free, as printed.
    temperature : T; towards 0 the largest score takes all, towards infinity the result is the average.
    floor : η in ``α = η + (1 − nη) softmax``, for the n modalities that a sample has; no weight then falls below η, and
        none exceeds ``1 − (n − 1) η`` (the floor constraint of Appendix D).

    Raises
    ------
    ValueError : as `Fusion`; fewer than two modalities; hidden below 1; bound or temperature not positive and finite;
        floor outside [0, 1/n); at call time a mask that does not fit or a sample without any modality.
    """

    def __init__(
        self,
        modalities: Iterable[str],
        latent: int,
        hidden: int | None = None,
        *,
        bound: float | int | None = None,
        temperature: float | int = 1.0,
        floor: float | int = 0.0,
    ) -> None:
        super().__init__(modalities, latent, at_least=2)
        hidden = self.latent if hidden is None else int(hidden)
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {hidden}")
        _positive(temperature=temperature)
        if bound is not None:
            _positive(bound=bound)
        count = len(self.modalities)
        if not 0 <= floor < 1 / count:
            raise ValueError(f"floor must lie in [0, 1/{count}), since {count} weights sum to one; got {floor}")
        self.fused_features = self.latent
        self.bound = None if bound is None else float(bound)
        self.temperature, self.floor = float(temperature), float(floor)
        self.scorer = nn.Sequential(nn.Linear(self.latent, hidden), nn.ReLU(), nn.Linear(hidden, 1, bias=False))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, bound={self.bound}, temperature={self.temperature}, floor={self.floor}"

    def scores(self, codes: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch"]:
        """The scores h(c), bounded if `bound` is set, before division by the temperature."""
        raw = self.scorer(codes).squeeze(-1)
        return raw if self.bound is None else self.bound * torch.tanh(raw / self.bound)

    def weights(
        self, inputs: Features, present: Bool[Tensor, "batch modality"] | None = None
    ) -> Float[Tensor, "batch modality"]:
        """The fusion weights, one column per modality in the constructor's order; each row sums to one.

        present: which modality each sample has, columns in the constructor's order; ``None`` means all. An absent one
            has weight exactly zero, and its code may hold anything, also NaN.
        """
        return self._weighted(inputs, present)[0]

    def forward(
        self, inputs: Features, present: Bool[Tensor, "batch modality"] | None = None
    ) -> Float[Tensor, "batch fused"]:
        weights, codes = self._weighted(inputs, present)
        return (weights.unsqueeze(-1) * codes).sum(dim=1)

    def _weighted(self, inputs: Features, present: Tensor | None) -> tuple[Tensor, Tensor]:
        codes = self.stack(inputs)
        if present is None:
            share = (self.scores(codes) / self.temperature).softmax(dim=1)
            return self.floor + (1 - len(self.modalities) * self.floor) * share, codes
        wanted = codes.shape[:2]
        if present.shape != wanted or present.dtype != torch.bool:
            raise ValueError(
                f"present must be boolean of shape {tuple(wanted)}, (batch, modality); "
                f"got {present.dtype} of shape {tuple(present.shape)}"
            )
        empty = (~present.any(dim=1)).nonzero().flatten()
        if len(empty):
            raise ValueError(f"every sample needs a modality; {len(empty)} have none, the first is {empty[0].item()}")
        # Zero times NaN is NaN, also in a gradient: absent codes go before anything is computed from them.
        codes = codes.masked_fill(~present.unsqueeze(-1), 0)
        scores = (self.scores(codes) / self.temperature).masked_fill(~present, -torch.inf)
        counts = present.sum(dim=1, keepdim=True)
        return present * self.floor + (1 - counts * self.floor) * scores.softmax(dim=1), codes


def entropy(weights: Float[Tensor, "*batch modality"]) -> Float[Tensor, "*batch"]:
    """Entropy −Σ α log α of each row of weights, in nats; 0 · log 0 is 0.

    As a penalty it acts on a mean over samples, which bounds no single sample's weights; see :func:`weight_range`.
    """
    return torch.special.entr(weights).sum(dim=-1)


def least_weight(count: int, bound: float | int, temperature: float | int = 1.0) -> float:
    """Least weight that one of `count` modalities can have where scores lie in [−bound, bound]: 1/(1 + (n−1)e^{2H/T}).

    Attained. It is never zero: only a mask removes a modality. Raises `ValueError` on fewer than two modalities, a
    negative bound or a temperature that is not positive.
    """
    _count(count)
    _positive(temperature=temperature)
    if not bound >= 0:
        raise ValueError(f"bound must not be negative, got {bound}")
    # Written with the decaying exponential, so that large bounds give zero and not an overflow.
    decay = math.exp(-2 * bound / temperature)
    return decay / (decay + count - 1)


def weight_range(count: int, least_entropy: float | int) -> tuple[float, float]:
    """Smallest and largest value that one of `count` weights can have when their entropy is at least this, in nats.

    The two roots of φ(p) = h_b(p) + (1 − p) log(n − 1), the entropy of (p, and n − 1 equal rests), with h_b the binary
    entropy; both are attained. The smaller is 0 as long as `least_entropy` ≤ log(n − 1). Raises `ValueError` on fewer
    than two modalities or an entropy outside [0, log n].
    """
    _count(count)
    if not 0 <= least_entropy <= math.log(count):
        raise ValueError(f"the entropy of {count} weights lies in [0, {math.log(count):.6g}], got {least_entropy}")

    def above(p: float) -> bool:
        return _best_entropy(p, count) >= least_entropy

    middle = 1 / count
    low = 0.0 if above(0.0) else _last(above, middle, 0.0)
    return low, 1.0 if above(1.0) else _last(above, middle, 1.0)


def gate_lipschitz(
    slope: float | int, radius: float | int, *, count: int = 2, temperature: float | int = 1.0, floor: float | int = 0.0
) -> float:
    """A Lipschitz constant of ``(c_1, …, c_n) ↦ z`` on codes of length at most `radius`, for a scorer of slope L.

    Without floor max(1, (1 + RL/T)/√2), for any number of modalities; attained by two where RL/T ≥ √2 − 1. With a floor
    η√n + (1 − nη) times that. No constant holds on the whole space. Raises `ValueError` on negative numbers, fewer than
    two modalities, a temperature that is not positive or a floor outside [0, 1/n].
    """
    _count(count)
    _positive(temperature=temperature)
    if not (slope >= 0 and radius >= 0):
        raise ValueError(f"slope and radius must not be negative, got {slope} and {radius}")
    if not 0 <= floor <= 1 / count:
        raise ValueError(f"floor must lie in [0, 1/{count}], got {floor}")
    plain = max(1.0, (1 + radius * slope / temperature) / math.sqrt(2))
    return floor * math.sqrt(count) + (1 - count * floor) * plain


def _best_entropy(p: float, count: int) -> float:
    """Entropy of (p, (1−p)/(n−1), …), the largest with one weight p."""
    rest = (1 - p) / (count - 1)
    return -sum(weight * math.log(weight) for weight in (p, *[rest] * (count - 1)) if weight > 0)


def _last(holds, inside: float, outside: float) -> float:
    """By halving, the last point from `inside` towards `outside` at which a condition still holds."""
    for _ in range(200):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside


def _count(count: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 2:
        raise ValueError(f"count must be a whole number of modalities, at least 2, got {count!r}")


def _positive(**values: float | int) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive and finite, got {value}")
