"""Codes of several modalities brought together: losses on codes, and what a small loss does and does not imply.

Paper C is the paper on class-conditional autoencoders, discriminative embedding and adversarial alignment; its
equation numbers are given. Proofs: pages "alignment/variance" and "alignment/contrastive". Codes of one batch have
shape (batch, modality, latent); `present` marks which modality an object really has. Losses are differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import sympy
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

__all__ = [
    "Scatter",
    "class_contrastive_loss",
    "class_scatter",
    "contrastive_excess",
    "cross_reconstruction_loss",
    "fidelity_floor",
    "homologous_loss",
    "info_nce",
    "intra_reconstruction_loss",
    "reconstruction_loss",
    "scatter_bound",
]

# A number, a SymPy expression, an array or a tensor.
Quantity = Any


def homologous_loss(
    codes: Float[Tensor, "batch modality latent"], present: Bool[Tensor, "batch modality"] | None = None
) -> Float[Tensor, ""]:
    """Mean squared distance between the codes of two modalities of one object, averaged over objects: Eq. (4), paper C.

    For an object with M modalities it is 2M/(M − 1) times the variance of its codes, in the codes' unit squared. It
    sees nothing of what lies between objects. Absent codes may hold anything, also NaN.

    Raises `ValueError` on no object, or an object with fewer than two modalities (Eq. (4) divides by zero there).
    """
    kept, counts = _counted(codes, present)
    short = (counts < 2).nonzero().flatten()
    if len(short):
        raise ValueError(
            f"the homologous loss compares modalities and needs two or more per object; object {short[0].item()} has "
            f"{counts[short[0]].item()} ({len(short)} of {len(counts)} objects are short)"
        )
    return (2 / (counts - 1) * _within(codes, kept, counts)).mean()


@dataclass(frozen=True)
class Scatter:
    """Sums of squared distances of codes from their class centroids, by the law of total variance.

    within_objects: squared distances of codes from their object's mean code, the part that the homologous loss sees.
    between_objects: squared distances of objects' mean codes from the class centroid, counted once per modality.
    """

    within_objects: Float[Tensor, ""]
    between_objects: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """The scatter Σ_i Σ_s ‖z_i^s − z̄_w‖² of Proposition 1(b) of paper C."""
        return self.within_objects + self.between_objects


def class_scatter(
    codes: Float[Tensor, "batch modality latent"],
    labels: Integer[Tensor, " label"],
    present: Bool[Tensor, "batch modality"] | None = None,
    classes: int | None = None,
) -> Scatter:
    """Scatter of the codes about the centroids of their classes, split into its two parts.

    The centroid of a class is the mean of its objects' mean codes, as in Appendix A.2 of paper C. `classes`, if given,
    is the number of classes 0, 1, … that must occur.

    Raises `ValueError` on no object, an object without modality, an empty class, or a class with one object.
    """
    kept, counts = _counted(codes, present)
    if counts.min() < 1:
        raise ValueError(f"object {counts.argmin().item()} has no modality")
    members = _classes(labels, classes, "no scatter between objects", len(codes))
    means = _means(codes, kept, counts)
    one_hot = members.to(codes.dtype)
    centroids = one_hot.mT @ means / one_hot.sum(dim=0)[:, None]
    between = counts * (means - one_hot @ centroids).square().sum(dim=-1)
    return Scatter(_within(codes, kept, counts).sum(), between.sum())


def intra_reconstruction_loss(features: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """Squared reconstruction errors ‖x^s − g(f(x^s))‖², summed over modalities, averaged over objects: Eq. (5).

    features, outputs: modality → (batch, ...); units of the features, squared. A sum, whereas
    :func:`cross_reconstruction_loss` is a mean. Raises `ValueError` on no modality, names or shapes that differ, or
    batches of unequal size.
    """
    if set(features) != set(outputs) or not features:
        raise ValueError(
            f"features have the modalities {list(features)}, outputs have {list(outputs)}; wanted the same"
        )
    _one_batch(features)
    errors = [_squared_error(name, outputs[name], target) for name, target in features.items()]
    return torch.stack(errors).sum()


def cross_reconstruction_loss(
    features: Mapping[str, Tensor], outputs: Mapping[tuple[str, str], Tensor]
) -> Float[Tensor, ""]:
    """Squared errors of one modality reconstructed from another, averaged over ordered pairs and objects: Eq. (6).

    features: modality → (batch, ...). outputs: (target, source) → the target's features decoded from the source's code.
    Raises `ValueError` on fewer than two modalities, a missing or foreign pair, shapes that differ, or batches of
    unequal size.
    """
    if len(features) < 2:
        raise ValueError(f"cross-modal reconstruction needs at least two modalities, got {list(features)}")
    wanted = set(permutations(features, 2))
    if set(outputs) != wanted:
        raise ValueError(
            f"outputs must hold every pair (target, source) once; missing {sorted(wanted - set(outputs))}, "
            f"foreign {sorted(set(outputs) - wanted, key=str)}"
        )
    _one_batch(features)
    errors = [_squared_error(target, outputs[target, source], features[target]) for target, source in sorted(wanted)]
    return torch.stack(errors).mean()


def reconstruction_loss(intra: Quantity, cross: Quantity, trade_off: float | int) -> Quantity:
    """λ · intra + (1 − λ) · cross, Eq. (7) of paper C, with λ in [0, 1].

    Where all errors are equal, the intra-modal part is Mλ/(1 − λ) times the cross-modal one (one at λ = 1/(M + 1)),
    and a single intra-modal error weighs M(M − 1)λ/(1 − λ) single cross-modal ones. Raises `ValueError` outside [0, 1].
    """
    if not 0 <= trade_off <= 1:
        raise ValueError(f"the trade-off between intra- and cross-modal reconstruction lies in [0, 1], got {trade_off}")
    return trade_off * intra + (1 - trade_off) * cross


def info_nce(
    anchors: Float[Tensor, "batch latent"],
    positives: Float[Tensor, "batch latent"],
    negatives: Float[Tensor, "*anchor negative width"],
    temperature: float | int,
    *,
    positive_in_denominator: bool = False,
    normalise: bool = True,
) -> Float[Tensor, ""]:
    """Contrastive loss −log exp(⟨a, b⟩/τ) / Σ_j exp(⟨a, n_j⟩/τ), averaged over anchors: Eq. (8) of paper C.

    negatives: (negative, latent), common to all anchors, or (batch, negative, latent).
    positive_in_denominator: add exp(⟨a, b⟩/τ) to the denominator, the usual InfoNCE. Without it, as printed, the loss
        is that of "decoupled" contrastive learning; it lies above log K − 2/τ for codes of unit length and has no
        lower bound for others.
    normalise: divide codes by their lengths, as the bounds of :func:`scatter_bound` want.

    Raises `ValueError` on a temperature that is not positive, no anchor, no negative, shapes that do not fit, or a code
    of length zero where codes are to be normalised.
    """
    tau = _temperature(temperature)
    fits = negatives.ndim in (2, 3) and anchors.ndim == 2 and negatives.shape[-1] == anchors.shape[-1]
    if positives.shape != anchors.shape or not fits or negatives.shape[:-2] not in ((), anchors.shape[:1]):
        raise ValueError(
            "wanted anchors and positives (batch, latent), negatives (negative, latent) or (batch, negative, latent); "
            f"got {tuple(anchors.shape)}, {tuple(positives.shape)} and {tuple(negatives.shape)}"
        )
    if 0 in negatives.shape or not len(anchors):
        raise ValueError(f"wanted at least one anchor and one negative, got {len(anchors)} and {negatives.shape[-2]}")
    if normalise:
        anchors, positives, negatives = map(_unit, (anchors, positives, negatives))
    alike = (anchors * positives).sum(dim=-1) / tau
    others = ((negatives @ anchors.unsqueeze(-1)).squeeze(-1) / tau).logsumexp(dim=-1)
    return ((torch.logaddexp(alike, others) if positive_in_denominator else others) - alike).mean()


def class_contrastive_loss(
    codes: Float[Tensor, "batch latent"],
    labels: Integer[Tensor, " label"],
    temperature: float | int,
    *,
    positive_in_denominator: bool = False,
    normalise: bool = True,
    classes: int | None = None,
) -> Float[Tensor, ""]:
    """Eq. (8) of paper C with the positives that its Proposition 1(a) needs: another code of the anchor's *class*.

    Every code is an anchor, every other code of its class a positive, all codes of other classes its negatives;
    averaged over positives, then over anchors. Positives from one object only would leave the scatter between objects
    unseen.

    Raises `ValueError` on a temperature that is not positive, fewer than two classes, an empty class, a class with one
    code, or a code of length zero where codes are to be normalised.
    """
    tau = _temperature(temperature)
    members = _classes(labels, classes, "no positive pair", len(codes))
    if members.shape[1] < 2:
        raise ValueError("negatives come from other classes; all codes here are of one class")
    units = _unit(codes) if normalise else codes
    alike = units @ units.mT / tau
    same = labels[:, None] == labels[None]
    others = alike.masked_fill(same, -torch.inf).logsumexp(dim=-1, keepdim=True)
    losses = (torch.logaddexp(alike, others) if positive_in_denominator else others) - alike
    positive = same & ~torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    return ((losses * positive).sum(dim=-1) / positive.sum(dim=-1)).mean()


def contrastive_excess(
    loss: Quantity, negatives: Quantity, temperature: Quantity, *, positive_in_denominator: bool = False
) -> Quantity:
    """What a contrastive loss with K negatives says about codes: τ(L − log K), or τ log((e^L − 1)/K) where the positive
    stands in the denominator. Numbers, arrays, tensors and SymPy expressions. See :func:`scatter_bound`."""
    if any(_negative(value, strictly=False) for value in (negatives, temperature)):
        raise ValueError(f"negatives and temperature must be positive, got {negatives} and {temperature}")
    if isinstance(loss, Tensor):
        shown = loss + loss.neg().expm1().neg().log() if positive_in_denominator else loss
        return temperature * (shown - math.log(negatives))
    if any(isinstance(value, sympy.Basic) for value in (loss, negatives, temperature)):
        shown = sympy.log(sympy.exp(loss) - 1) if positive_in_denominator else loss
        return temperature * (shown - sympy.log(negatives))
    shown = loss + np.log(-np.expm1(-loss)) if positive_in_denominator else loss
    return temperature * (shown - np.log(negatives))


def scatter_bound(
    excess: Quantity,
    negatives: str = "any",
    mean_square: Quantity = 0,
    classes: Quantity | None = None,
    positives: str = "class",
) -> Quantity:
    """Upper bound of the mean within-class variance of unit codes, from the excess X of :func:`contrastive_excess`.

    negatives: "any" gives 2 + X, with equality where all negatives are antipodal to the anchor; "independent",
        negatives drawn from all codes whatever the anchor, gives 1 − ‖m‖² + X; "other classes", of `classes` equally
        likely ones, gives 1 − ‖m‖² + (1 − 1/C) X. The last two are equalities for a single negative.
    mean_square: ‖m‖², squared length of the mean of all codes; zero gives a bound that always holds.
    positives: "class", drawn from the anchor's class independently of the anchor; or "object", the anchor's own object
        in another modality. The latter give a bound only with negatives from other classes: 1 − C‖m‖² + (C − 1)(1 + X).

    Replaces Proposition 1(a) of paper C; proof: page "alignment/contrastive". Raises `ValueError` on an unknown kind of
    negatives or positives, fewer than two classes, or a pair of kinds for which the loss bounds nothing.
    """
    if positives not in ("class", "object"):
        raise ValueError(f"positives must be 'class' or 'object', got {positives!r}")
    if positives == "object" and negatives in ("any", "independent"):
        raise ValueError(
            f"with positives of the object and {negatives!r} negatives the loss does not bound the class variance; "
            "wanted negatives from 'other classes'"
        )
    if negatives == "any":
        return 2 + excess
    if negatives == "independent":
        return 1 - mean_square + excess
    if negatives != "other classes":
        raise ValueError(f"negatives must be 'any', 'independent' or 'other classes', got {negatives!r}")
    if classes is None or (classes < 2) == True:  # noqa: E712
        raise ValueError(f"negatives from other classes need the number of classes, two or more; got {classes}")
    if positives == "object":
        return 1 - classes * mean_square + (classes - 1) * (1 + excess)
    return 1 - mean_square + (1 - 1 / classes) * excess


def fidelity_floor(spread: Quantity, code_spread: Quantity, lipschitz: Quantity) -> Quantity:
    """Least root mean square reconstruction error, D_x − G·D_z, of a decoder with Lipschitz constant G.

    spread: D_x, root mean square distance of features from their group's mean. code_spread: D_z, the same for codes.
    Groups are the sets that one decoder serves alone: the codes of a class, or the modalities of an object. Negative
    where it demands nothing. Attained by linear decoders. Proof: page "alignment/variance".
    """
    if any(map(_negative, (spread, code_spread, lipschitz))):
        raise ValueError(f"spreads and constant must not be negative, got {spread}, {code_spread} and {lipschitz}")
    return spread - lipschitz * code_spread


def _counted(codes: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor]:
    """Which codes count, (batch, modality), and how many of them each object has, (batch,)."""
    if codes.ndim != 3 or 0 in codes.shape:
        raise ValueError(f"codes must have shape (batch, modality, latent), none of them 0; got {tuple(codes.shape)}")
    kept = torch.ones(codes.shape[:2], dtype=torch.bool, device=codes.device) if present is None else present
    if kept.shape != codes.shape[:2]:
        raise ValueError(f"present must have shape {tuple(codes.shape[:2])}, got {tuple(kept.shape)}")
    return kept, kept.sum(dim=1)


def _means(codes: Tensor, kept: Tensor, counts: Tensor) -> Tensor:
    return codes.masked_fill(~kept[..., None], 0).sum(dim=1) / counts[:, None]


def _within(codes: Tensor, kept: Tensor, counts: Tensor) -> Tensor:
    """Per object, the sum of squared distances of its codes from their mean."""
    deviations = codes.masked_fill(~kept[..., None], 0) - _means(codes, kept, counts)[:, None]
    return deviations.masked_fill(~kept[..., None], 0).square().sum(dim=(1, 2))


def _classes(labels: Tensor, classes: int | None, lost: str, count: int) -> Tensor:
    """(batch, class) membership; every class has two members or more."""
    if labels.shape != (count,) or not count:
        raise ValueError(f"one label each wanted, for at least one: {count} to label, labels of {tuple(labels.shape)}")
    known = torch.arange(classes, device=labels.device) if classes is not None else labels.unique()
    members = labels[:, None] == known[None]
    strangers = ~members.any(dim=1)
    if strangers.any():
        raise ValueError(f"label {labels[strangers][0].item()} is not one of the {classes} classes 0, 1, …")
    sizes = members.sum(dim=0)
    if sizes.min() < 2:
        worst = sizes.argmin()
        found = "is empty" if sizes[worst] == 0 else f"has one member: {lost}"
        raise ValueError(f"class {known[worst].item()} {found}; wanted two or more members in every class")
    return members


def _temperature(value: float | int) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"the temperature must be positive and finite, got {value}; 0 does not switch the loss off")
    return float(value)


def _unit(codes: Tensor) -> Tensor:
    lengths = codes.norm(dim=-1, keepdim=True)
    if bool((lengths == 0).any()):
        raise ValueError(f"{int((lengths == 0).sum())} of {lengths.numel()} codes have length zero: no direction")
    return codes / lengths


def _negative(value: Quantity, strictly: bool = True) -> bool:
    """Whether any entry is known to be below zero, or not above it; a symbol's sign may be unknown."""
    if isinstance(value, Tensor | np.ndarray):
        return bool(((value < 0) if strictly else (value <= 0)).any())
    return ((value < 0) if strictly else (value <= 0)) == True  # noqa: E712


def _one_batch(features: Mapping[str, Tensor]) -> None:
    sizes = {name: len(value) if value.ndim else 0 for name, value in features.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"all modalities describe the same objects; wanted one common batch size, got {sizes}")


def _squared_error(name: str, output: Tensor, target: Tensor) -> Tensor:
    if output.shape != target.shape or target.ndim < 2 or not len(target):
        raise ValueError(
            f"modality {name!r}: output is {tuple(output.shape)}, target is {tuple(target.shape)}; wanted one shape "
            "(batch, ...)"
        )
    return (output - target).flatten(1).square().sum(dim=1).mean()
