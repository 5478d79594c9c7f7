"""How nearly a fusion moves by α ⊙ τ when one modality moves by τ.

Paper B (Understanding Multimodal Learning: A Loss Landscape Smoothness Perspective) assumes
φ(u, v + τ) = φ(u, v) + α ⊙ τ (Definition 1) and measures the error in units of the output (Table 13). Here is also the
error in units of the output's shift, the one that tells. Reasons: page "landscape/additivity".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Additivity", "additivity", "best_gain"]


@dataclass(frozen=True)
class Additivity:
    """Means over samples of norms, in the units of the output.

    Attributes
    ----------
    feature_norm : of φ(u, v).
    shift : of φ(u, v + τ) − φ(u, v).
    error : of the shift less α ⊙ τ.
    """

    feature_norm: float
    shift: float
    error: float

    @property
    def relative_to_norm(self) -> float:
        """Error over feature norm: ε_rel of paper B, as a fraction."""
        return self.error / self.feature_norm

    @property
    def relative_to_shift(self) -> float:
        """Error over shift: 0 where α ⊙ τ is the whole movement, 1 where it does no better than "does not move"."""
        return self.error / self.shift


def best_gain(shifts: Tensor, taus: Tensor) -> Float[Tensor, " latent"]:
    """The α with the least Σ ‖shift − α ⊙ τ‖²: entry by entry a regression through the origin; 0 where τ is always 0.

    shifts, taus: (sample, latent). Raises `ValueError` on shapes that differ or no sample.
    """
    if shifts.shape != taus.shape or shifts.ndim != 2 or not len(taus):
        raise ValueError(
            "shifts and taus must both be (sample, latent) with one sample or more; "
            f"got {tuple(shifts.shape)} and {tuple(taus.shape)}"
        )
    energy = taus.square().sum(dim=0)
    return torch.where(energy > 0, (shifts * taus).sum(dim=0) / energy.where(energy > 0, 1.0), 0.0)


def additivity(
    before: Tensor,
    after: Tensor,
    taus: Tensor,
    gain: Tensor | float | None = None,
) -> Additivity:
    """Compare the outputs before and after the second modality moved by `taus` with the movement α ⊙ τ.

    before, after, taus: (sample, latent). gain: α, shape (latent,) or (sample, latent), or one number; by default
    `best_gain` of these samples, which flatters Definition 1. Raises `ValueError` on shapes that differ, no sample, a
    zero output or an output that never moves.
    """
    if before.shape != after.shape:
        raise ValueError(f"outputs before and after differ in shape: {tuple(before.shape)}, {tuple(after.shape)}")
    shifts = after - before
    gain = best_gain(shifts, taus) if gain is None else gain
    errors = (shifts - gain * taus).norm(dim=1)
    found = Additivity(before.norm(dim=1).mean().item(), shifts.norm(dim=1).mean().item(), errors.mean().item())
    if not found.feature_norm > 0 or not found.shift > 0:
        raise ValueError(f"relative errors need an output that is not zero and moves; got {found}")
    return found
