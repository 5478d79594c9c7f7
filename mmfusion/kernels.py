"""Kernels of several modalities: added, multiplied, and weighted by multiple kernel learning (MKL).

A kernel matrix is (sample, sample), symmetric and positive semi-definite; `between` matrices are (new, sample). Adding
kernels concatenates their feature maps, multiplying them takes the tensor product. Page: "lowrank/kernels"; paper D
(Sinha, Robustness and Geometry in Low-Rank Multimodal Fusion), section "Additivity in Multiple Kernel Learning".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from sklearn.svm import SVC

__all__ = [
    "MultipleKernelSVM",
    "check_kernel",
    "fit_mkl",
    "gaussian_kernel",
    "linear_kernel",
    "product",
    "weighted_sum",
]

Kernel = Float[ndarray, "sample sample"]
Between = Float[ndarray, "new sample"]


def check_kernel(kernel: ndarray, name: str = "kernel", tolerance: float = 1e-9) -> ndarray:
    """The matrix as float64, if it is a kernel matrix.

    Raises ValueError where it is not square, not finite, not symmetric or not positive semi-definite; `tolerance` is
    relative to the largest entry, and to the largest eigenvalue.
    """
    kernel = np.asarray(kernel, dtype=np.float64)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or not kernel.size:
        raise ValueError(f"{name} must be a square matrix with at least one row, got shape {kernel.shape}")
    if not np.isfinite(kernel).all():
        raise ValueError(f"{name} holds values that are NaN or infinite; wants finite")
    skew = np.abs(kernel - kernel.T).max()
    if skew > tolerance * np.abs(kernel).max():
        raise ValueError(f"{name} is not symmetric: entries differ from their mirror images by up to {skew:.3g}")
    values = np.linalg.eigvalsh(kernel)
    if values[0] < -tolerance * max(abs(values[0]), values[-1]) * len(kernel):
        raise ValueError(f"{name} is not positive semi-definite: its least eigenvalue is {values[0]:.3g}")
    return kernel


def linear_kernel(x: ndarray, y: ndarray | None = None, *, ones: bool = False) -> Between:
    """⟨x_i, y_j⟩ for points (sample, features); with `ones` a 1 is appended to every point, which adds 1."""
    x, y = _points(x, y)
    return x @ y.T + float(ones)


def gaussian_kernel(x: ndarray, y: ndarray | None = None, *, width: float | int = 1.0) -> Between:
    """exp(−‖x_i − y_j‖² / (2 width²)) for points (sample, features)."""
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    x, y = _points(x, y)
    square = ((x[:, None] - y[None]) ** 2).sum(-1)
    return np.exp(-square / (2 * float(width) ** 2))


def weighted_sum(kernels: Sequence[ndarray], weights: Sequence[float | int] | ndarray) -> ndarray:
    """Σ β_m K_m. Raises ValueError for a negative weight, not one weight per kernel, or unequal sizes."""
    weights = np.asarray(weights, float)
    if weights.shape != (len(kernels),) or not len(kernels):
        raise ValueError(f"wants one weight for each of {len(kernels)} kernels, got {weights.shape}")
    if not (weights >= 0).all():
        raise ValueError(f"weights must not be negative, got {weights.tolist()}: the sum need not be a kernel")
    return np.tensordot(weights, _stacked(kernels), 1)


def product(kernels: Sequence[ndarray]) -> ndarray:
    """Entry by entry; the feature map is the tensor product of the factors' (Schur's product theorem).

    Raises ValueError for no kernel, or unequal sizes.
    """
    if not kernels:
        raise ValueError("product wants at least one kernel, got none")
    return np.prod(_stacked(kernels), axis=0)


def _points(x: ndarray, y: ndarray | None) -> tuple[ndarray, ndarray]:
    x, y = np.asarray(x, float), np.asarray(x if y is None else y, float)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"wants points (sample, features), as many features in both; got {x.shape} and {y.shape}")
    return x, y


def _stacked(kernels: Sequence[ndarray]) -> ndarray:
    shapes = [np.shape(kernel) for kernel in kernels]
    if len(set(shapes)) > 1:
        raise ValueError(f"kernels of different samples cannot be combined: shapes {shapes}, wanted one shape")
    return np.stack(list(kernels))


@dataclass(frozen=True)
class MultipleKernelSVM:
    """A support vector machine on Σ β_m K_m with learned β, and the certificate that it is optimal.

    weights: β, (kernel,), on the simplex. signed: α_i y_i, (sample,). offset: b.
    objectives: value of the problem after each step. gap: bound on the distance to the optimum, ≥ 0.
    """

    weights: Float[ndarray, " kernel"]
    signed: Float[ndarray, " sample"]
    offset: float
    objectives: tuple[float, ...]
    gap: float

    def parts(self, between: Sequence[ndarray]) -> Float[ndarray, "kernel new"]:
        """The functions f_m = β_m Σ_i α_i y_i K_m(·, x_i), whose sum plus b is the decision function."""
        if len(between) != len(self.weights):
            raise ValueError(f"wants {len(self.weights)} kernels, got {len(between)}")
        return np.stack([w * (k @ self.signed) for w, k in zip(self.weights, between, strict=True)])

    def decide(self, between: Sequence[ndarray]) -> Float[ndarray, " new"]:
        """Σ_m f_m + b; its sign is the predicted label."""
        return self.parts(between).sum(0) + self.offset


def fit_mkl(
    kernels: Sequence[ndarray],
    labels: Sequence[int] | ndarray,
    penalty: float | int = 1.0,
    tolerance: float = 1e-4,
    steps: int = 500,
) -> MultipleKernelSVM:
    """Multiple kernel learning for two classes: min over β on the simplex of max over α of the SVM's dual.

    The inner problem is scikit-learn's SVC; the weights follow in closed form, β_m ∝ ‖w_m‖, which never raises the
    objective (Rakotomamonjy et al. 2008; Xu et al. 2010). With q_m = Σ α_i y_i α_j y_j K_m(x_i, x_j) the dual is
    max_α Σα − ½ max_m q_m, so that ½(max_m q_m − Σ β_m q_m) bounds the distance to the optimum; iteration stops when
    it falls below `tolerance` times the objective.

    Parameters
    ----------
    kernels: at least one (sample, sample) kernel matrix. labels: −1 or 1, both present. penalty: the SVM's C.

    Raises ValueError for matrices that are no kernels, of unequal size, labels that are not both of ±1, a penalty that
    is not positive, or no step.
    """
    if not len(kernels):
        raise ValueError("fit_mkl wants at least one kernel, got none")
    checked = [check_kernel(kernel, f"kernel {m}") for m, kernel in enumerate(kernels)]
    labels = np.asarray(labels)
    if {kernel.shape for kernel in checked} != {(len(labels), len(labels))}:
        raise ValueError(f"{len(labels)} labels and kernels of shape {[k.shape for k in checked]} do not fit")
    if set(labels.tolist()) != {-1, 1}:
        raise ValueError(f"labels must be -1 and 1, both present, got {sorted(set(labels.tolist()))[:5]}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if not penalty > 0:
        raise ValueError(f"penalty must be positive, got {penalty}")
    weights, objectives = np.full(len(checked), 1 / len(checked)), []
    for _ in range(steps):
        machine = SVC(C=float(penalty), kernel="precomputed", tol=1e-8).fit(weighted_sum(checked, weights), labels)
        signed = np.zeros(len(labels))
        signed[machine.support_] = machine.dual_coef_[0]
        squares = np.array([signed @ kernel @ signed for kernel in checked])
        objectives.append(float(np.abs(signed).sum() - weights @ squares / 2))
        gap = float(squares.max() - weights @ squares) / 2
        if gap <= tolerance * objectives[-1]:
            break
        lengths = weights * np.sqrt(squares.clip(0))
        weights = lengths / lengths.sum()
    return MultipleKernelSVM(weights, signed, float(machine.intercept_[0]), tuple(objectives), max(gap, 0.0))
