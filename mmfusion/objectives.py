"""Training objectives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

_CHUNK = 64


def reconstruction_errors(outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> dict[str, Float[Tensor, ""]]:
    """Mean squared error of every modality, averaged over samples and entries.

    Computed in at least single precision. The unit is that of the modality, squared (pixel intensity, standard
    deviations of a signal), so errors of different modalities do not compare. Source: paper A, section 5.3.

    Raises
    ------
    ValueError : modalities or shapes of outputs and targets differ.
    """
    if set(outputs) != set(targets):
        raise ValueError(f"outputs have the modalities {list(outputs)}, targets have {list(targets)}")
    errors = {}
    for name, target in targets.items():
        output = outputs[name]
        if output.shape != target.shape:
            raise ValueError(f"modality {name!r}: output is {tuple(output.shape)}, target is {tuple(target.shape)}")
        if output.dtype in (torch.float16, torch.bfloat16):
            output = output.float()
        errors[name] = torch.nn.functional.mse_loss(output, target)
    return errors


def total_error(errors: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
    """Unweighted sum over modalities, as in the "combined" columns of paper A."""
    return torch.stack(list(errors.values())).sum()


@torch.no_grad()
def baseline_errors(train_set: Mapping[str, Tensor], test_set: Mapping[str, Tensor]) -> dict[str, float]:
    """Mean squared error, on the test set, of always predicting the training set's mean sample.

    The variance of each modality about the training mean, entry by entry: the unit in which
    :func:`explained_variance` measures. Summed in double precision, a few samples at a time.

    Raises
    ------
    ValueError : modalities or shapes of the two sets differ, or one of them is empty.
    """
    if set(train_set) != set(test_set):
        raise ValueError(f"the training set has the modalities {list(train_set)}, the test set has {list(test_set)}")
    errors = {}
    for name, known in train_set.items():
        unseen = test_set[name]
        if not len(known) or not len(unseen) or known.shape[1:] != unseen.shape[1:]:
            raise ValueError(
                f"modality {name!r} wants samples of one shape in both sets, got {tuple(known.shape)} for training and "
                f"{tuple(unseen.shape)} for testing"
            )
        mean = sum(part.double().sum(0) for part in known.split(_CHUNK)) / len(known)
        errors[name] = float(
            sum((part.double() - mean).square().sum() for part in unseen.split(_CHUNK)) / unseen.numel()
        )
    return errors


def explained_variance(error: float, baseline: float) -> float:
    """The coefficient of determination, R² = 1 - error / baseline: a loss without a unit.

    One where the reconstruction is perfect, zero where it is as good as the training mean, negative where it is worse.
    ``baseline`` is the error of that mean, see :func:`baseline_errors`. NaN stays NaN.

    Raises
    ------
    ValueError : a baseline that is not positive and finite (a modality that never varies), or a negative error.
    """
    if not (math.isfinite(baseline) and baseline > 0):
        raise ValueError(f"R² needs a modality that varies; the error of its mean is {baseline}")
    if error < 0:
        raise ValueError(f"a mean squared error must not be negative, got {error}")
    return 1 - error / baseline


def l2_penalty(parameters: Iterable[Tensor], weight: float) -> Float[Tensor, ""] | float:
    """``weight`` times the sum of squared entries, whose gradient is the decay term of paper A's Eq. (7).

    Returns the number zero, and builds no graph, where there is nothing to penalise.

    Raises
    ------
    ValueError : negative weight.
    """
    if weight < 0:
        raise ValueError(f"the weight of the L2 penalty must not be negative, got {weight}")
    squares = [parameter.square().sum() for parameter in parameters] if weight else []
    return weight * torch.stack(squares).sum() if squares else 0.0
