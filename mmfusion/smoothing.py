"""Convolutional smoothing: what averaging over a second modality does to a loss.

The second modality moves the fused output by a random shift τ. Averaged over τ, a loss U becomes V(c) = E U(c + τ).
For a finite set of samples the law of τ is a law of atoms; `ShiftKernel` is that law, in floats or, given SymPy
numbers or symbols, exactly. Frequencies use the factor that belongs to this average, E exp(+iω·τ).

Paper B is Understanding Multimodal Learning: A Loss Landscape Smoothness Perspective; proofs: pages
"landscape/smoothing", "landscape/curvature" and "landscape/spectrum".
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from numbers import Rational
from typing import Any

import numpy as np
import sympy
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["ShiftKernel", "curvature_from_variation", "passed_at_least", "softmax_curvature"]


@dataclass(frozen=True, eq=False)
class ShiftKernel:
    """Law of a random shift with finitely many values. Build it by `of`, `from_features` or `by_class`.

    atoms: values of the shift, shape (atom,) for a scalar shift, (atom, d) for one in R^d; no value stands twice.
    weights: their probabilities, shape (atom,); positive, with sum 1.
    """

    atoms: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, atoms: Any, weights: Any = None) -> ShiftKernel:
        """The law with these atoms, (atom,) or (atom, d), and weights (equal ones by default).

        Equal atoms are merged and atoms without weight dropped. Floats stay floats; with a SymPy number or symbol
        among the input everything is exact. Raises `ValueError` on no atom, a wrong shape, an entry that is not
        finite, a negative weight or weights that do not sum to 1.
        """
        values = _array("atoms", atoms)
        if values.ndim not in (1, 2) or 0 in values.shape:
            raise ValueError(f"atoms must have shape (atom,) or (atom, d), at least one atom; got {values.shape}")
        count = len(values)
        exact = values.dtype == object
        given = [sympy.Rational(1, count)] * count if weights is None and exact else weights
        mass = np.full(count, 1 / count) if given is None else _array("weights", given)
        if mass.shape != (count,):
            raise ValueError(f"one weight per atom wanted: {count} atoms, weights of shape {mass.shape}")
        if any((w < 0) == True for w in mass):  # noqa: E712  (a symbol's sign may be unknown)
            raise ValueError(f"weights must not be negative, got {min(mass)}")
        total = sum(mass)
        if isinstance(total, sympy.Basic) and mass.dtype == object:
            whole = sympy.simplify(total - 1) == 0
        else:
            whole = abs(total - 1) < 1e-9
        if not whole:
            raise ValueError(f"weights must sum to 1, they sum to {total}")
        merged: dict[Hashable, Any] = {}
        for value, weight in zip(values, mass, strict=True):
            key = tuple(value) if values.ndim == 2 else value
            merged[key] = merged.get(key, 0) + weight
        kept = {key: weight for key, weight in merged.items() if weight != 0}
        return cls(_array("atoms", list(kept)), _array("weights", list(kept.values())))

    @classmethod
    def from_features(cls, features: Any, absent: Any) -> ShiftKernel:
        """Law of the shift h(f_j(x_j)) − h(f_j(x̄_j)) over samples.

        features: (sample, d), what the second modality adds to the fused output; of one class for the kernel of
        paper B, which is conditional on the label. absent: (d,), the same for the stand-in of a missing modality.
        """
        values, origin = _array("features", features), _array("absent", absent)
        if values.ndim != 2 or origin.shape != values.shape[1:]:
            raise ValueError(
                f"features must have shape (sample, d) and absent (d,); got {values.shape} and {origin.shape}"
            )
        return cls.of(values - origin)

    @classmethod
    def by_class(cls, features: Any, absent: Any, labels: Any) -> dict[Any, ShiftKernel]:
        """One kernel per label: features (sample, d), absent (d,), labels (sample,)."""
        values, given = _array("features", features), np.asarray(labels)
        if given.shape != values.shape[:1]:
            raise ValueError(f"one label per sample wanted: {len(values)} samples, labels of shape {given.shape}")
        return {label: cls.from_features(values[given == label], absent) for label in np.unique(given).tolist()}

    @property
    def exact(self) -> bool:
        """Whether atoms and weights are SymPy numbers or symbols."""
        return self.atoms.dtype == object

    def mean(self) -> Any:
        """E τ: a number, or shape (d,)."""
        return sum(weight * atom for atom, weight in zip(self.atoms, self.weights, strict=True))

    def covariance(self) -> Any:
        """Variance of a scalar shift, or the covariance matrix, shape (d, d)."""
        centred = self.atoms - self.mean()
        if centred.ndim == 1:
            return sum(self.weights * centred**2)
        return (centred * self.weights[:, None]).T @ centred

    def smooth(self, loss: Callable[[Any], Any], c: Any) -> Any:
        """V(c) = E loss(c + τ), Eq. (5) of paper B read as a function of a shift.

        c: whatever `loss` takes: a number, a symbol, an array or tensor of numbers for a scalar shift; (..., d) for a
        shift in R^d. A derivative of the loss is smoothed in the same way.
        """
        total = 0
        for atom, weight in zip(self.atoms, self.weights, strict=True):
            step = torch.as_tensor(atom) if isinstance(c, Tensor) else atom
            total = total + weight * loss(c + step)
        return total

    def characteristic(self, omega: Any) -> Any:
        """E exp(iω·τ), the factor by which the average multiplies the frequency ω of a loss.

        omega: a number, a SymPy expression, or an array (...) for a scalar shift, (..., d) for one in R^d.
        Returns complex numbers of shape (...), or SymPy expressions where the law or ω is exact.
        """
        frequency = np.asarray(omega)
        if self.atoms.ndim == 2 and frequency.shape[-1:] != self.atoms.shape[1:]:
            raise ValueError(f"frequencies must have shape (..., {self.atoms.shape[1]}), got {frequency.shape}")
        phases = frequency @ self.atoms.T if self.atoms.ndim == 2 else frequency[..., None] * self.atoms
        if phases.dtype != object:
            return np.exp(1j * phases) @ self.weights
        waves = np.vectorize(lambda phase: sympy.exp(sympy.I * phase), otypes=[object])(phases)
        return (waves * self.weights).sum(axis=-1)

    def mean_energy(self) -> Any:
        """Σ p_k²: Wiener's limit of the mean of |E exp(iωτ)|² over ever larger frequencies."""
        return sum(self.weights**2)

    def convolved(self, other: ShiftKernel) -> ShiftKernel:
        """Law of the sum of two independent shifts."""
        if self.atoms.shape[1:] != other.atoms.shape[1:]:
            raise ValueError(
                f"shifts of one dimension wanted, got shapes {self.atoms.shape[1:]} and {other.atoms.shape[1:]}"
            )
        atoms = [a + b for a in self.atoms for b in other.atoms]
        return ShiftKernel.of(atoms, [p * q for p in self.weights for q in other.weights])


def passed_at_least(omega: Any, covariance: Any) -> Any:
    """1 − ωᵀ Cov(τ) ω, below which |E exp(iω·τ)|² never falls: what variance says about filtering, in simple form.
    With s² = ωᵀ Cov(τ) ω the sharp form is |E exp(iω·τ)| ≥ cos s for s ≤ π/2, attained by a coin.

    omega: number or array for a scalar shift with its variance; (..., d) with a (d, d) covariance. Corrects
    Remark 2.2 of paper B; proof: page "landscape/spectrum".
    """
    covariance = np.asarray(covariance) if isinstance(covariance, list | tuple) else covariance
    if getattr(covariance, "ndim", 0) == 0:
        return 1 - covariance * omega**2
    frequency = np.asarray(omega)
    if covariance.shape != (frequency.shape[-1],) * 2:
        raise ValueError(f"covariance of shape {covariance.shape} does not fit frequencies of {frequency.shape}")
    return 1 - ((frequency @ covariance) * frequency).sum(axis=-1)


def curvature_from_variation(slope: Any, variation: Any) -> Any:
    """Bound slope · variation on |V″| for a loss of one variable with Lipschitz constant `slope`, kinks allowed, and a
    shift with a density of total variation `variation` and, unless the loss is bounded, a finite mean. Replaces
    Theorem 2.1 of paper B where the loss has no bounded second derivative; attained by min(|f|, 1) and a uniform
    shift; proof: page "landscape/curvature".
    """
    for name, value in (("slope", slope), ("variation", variation)):
        if (value < 0) == True:  # noqa: E712  (a symbol's sign may be unknown)
            raise ValueError(f"{name} must not be negative, got {value}")
    return slope * variation


def softmax_curvature(probabilities: Float[Tensor, "... class"]) -> Float[Tensor, "class class"]:
    """Mean over all samples of diag(p) − p pᵀ, the Hessian of softmax cross-entropy in a bias of the logits.

    It equals diag(π) − π πᵀ − Cov(p) with π = E p, and is a principal block of the Hessian in the parameters of every
    network whose logits have a bias. Spectral norm at most 1/2. Proof: page "landscape/curvature".
    """
    if probabilities.ndim < 1 or probabilities.numel() == 0 or probabilities.shape[-1] < 2:
        raise ValueError(f"probabilities must have shape (..., class), two classes or more: {probabilities.shape}")
    if bool((probabilities < 0).any()) or not torch.allclose(
        probabilities.sum(-1), torch.ones((), dtype=probabilities.dtype), atol=1e-5
    ):
        raise ValueError("probabilities must not be negative and must sum to 1 over the classes")
    flat = probabilities.reshape(-1, probabilities.shape[-1])
    return torch.diag(flat.mean(dim=0)) - flat.mT @ flat / len(flat)


def _array(name: str, given: Any) -> np.ndarray:
    """Floats where all is float, objects where anything is SymPy's (or a fraction)."""
    if isinstance(given, Tensor):
        given = given.detach().cpu().numpy()
    if isinstance(given, sympy.MatrixBase):
        given = given.tolist()
    try:
        array = np.array(given)
    except ValueError as error:
        raise ValueError(f"{name} must form a rectangular array of numbers: {error}") from error
    if array.dtype == object:
        if any(isinstance(entry, list | tuple | str) or entry is None for entry in array.flat):
            raise ValueError(f"{name} must form a rectangular array of numbers")
        exact = np.empty(array.shape, dtype=object)
        for place, entry in np.ndenumerate(array):
            fraction = isinstance(entry, Rational) and not isinstance(entry, sympy.Basic)
            exact[place] = sympy.Rational(entry.numerator, entry.denominator) if fraction else sympy.sympify(entry)
            if exact[place].is_finite is False:
                raise ValueError(f"{name} must be finite, got {entry}")
        return exact
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be real numbers, got {array.dtype}")
    array = array.astype(float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array
