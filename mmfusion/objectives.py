"""Training objectives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor


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
