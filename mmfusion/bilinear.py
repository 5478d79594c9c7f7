"""How sensitive a bilinear fusion is: f(z_v, z_t) = z_vᵀ B z_t, and with ones appended, [z_v; 1]ᵀ B [z_t; 1].

With ones appended B is read as [[A, a], [bᵀ, s]], so that f = z_vᵀ A z_t + aᵀ z_v + bᵀ z_t + s. Norms are Euclidean;
the pair (z_v, z_t) carries the norm of the product space. Proofs: page "lowrank/spectral", for paper D (Sinha,
Robustness and Geometry in Low-Rank Multimodal Fusion).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["farthest_in_ball", "lipschitz_on_balls", "mean_square_sensitivity", "truncate"]

Matrix = Float[Tensor, "left right"]


def lipschitz_on_balls(matrix: Matrix, radius: float | int = 1.0, *, appended: bool = False) -> float:
    """Exact Lipschitz constant of the fusion on ‖z_v‖ ≤ radius, ‖z_t‖ ≤ radius.

    √2 · radius · ‖B‖₂; with ones appended √(max‖A z_t + a‖² + max‖Aᵀ z_v + b‖²) over the two balls.
    Raises ValueError for a negative radius, numbers that are not finite, or no row or column left beside the ones.
    """
    _checked(matrix, radius, appended)
    if not appended:
        return math.sqrt(2) * float(radius) * torch.linalg.matrix_norm(matrix, ord=2).item()
    A, a, b = matrix[:-1, :-1], matrix[:-1, -1], matrix[-1, :-1]
    return math.hypot(farthest_in_ball(A, a, radius), farthest_in_ball(A.T, b, radius))


def farthest_in_ball(A: Matrix, shift: Float[Tensor, " left"], radius: float | int) -> float:
    """Largest ‖A z + shift‖ over ‖z‖ ≤ radius.

    A convex function is largest on the sphere; there the maximum is the least value of the convex dual
    λ radius² + ‖shift‖² + gᵀ(λI − AᵀA)⁻¹g with g = Aᵀ shift, over λ ≥ ‖A‖² (S-lemma: no gap), found by bisection.
    """
    u, s, _ = torch.linalg.svd(A.double(), full_matrices=False)
    g, below, rho = s * (u.T @ shift.double()), s[0] ** 2 - s**2, float(radius)

    def term(power: int, above: float) -> float:
        """Σ g²/(λ − σ²)^power at λ = ‖A‖² + above; places without g do not count, however close λ comes."""
        quotient = (g**power / (below + above) ** power) if power == 2 else g**2 / (below + above)
        return torch.where(g == 0, torch.zeros_like(g), quotient).sum().item()

    # The derivative of the dual, radius² − Σ g²/(λ − σ²)², grows with λ. Bisection in λ − ‖A‖² keeps small g exact;
    # in the "hard case", no g along the top singular vector, it ends at λ = ‖A‖².
    low, high = 0.0, g.norm().item() / rho if rho > 0 else 0.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if rho**2 >= term(2, middle) else (middle, high)
    if rho == 0:
        return shift.norm().item()
    bend = term(1, high) if high > 0 else 0.0
    return math.sqrt((s[0].item() ** 2 + high) * rho**2 + shift.double().square().sum().item() + bend)


def mean_square_sensitivity(matrix: Matrix, *, appended: bool = False) -> float:
    """E‖∇f‖² for latents of mean 0 and covariance I in each modality, however the two depend on each other.

    2‖B‖²_F; with ones appended ‖PB‖²_F + ‖BP‖²_F = 2‖A‖²_F + ‖a‖² + ‖b‖², where P drops the appended place.
    """
    _checked(matrix, 1.0, appended)
    if not appended:
        return 2 * matrix.square().sum().item()
    return (matrix[:-1].square().sum() + matrix[:, :-1].square().sum()).item()


def truncate(matrix: Matrix, rank: int) -> Matrix:
    """Best approximation of this rank in the Frobenius and in the spectral norm (Eckart, Young, Mirsky)."""
    if rank < 0:
        raise ValueError(f"rank must not be negative, got {rank}")
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    return u[:, :rank] * s[:rank] @ vh[:rank]


def _checked(matrix: Matrix, radius: float | int, appended: bool) -> None:
    if not radius >= 0 or not math.isfinite(radius):
        raise ValueError(f"radius must be a finite number that is not negative, got {radius}")
    if not torch.isfinite(matrix).all():
        raise ValueError("matrix holds values that are NaN or infinite; wants finite")
    if min(matrix.shape) < (2 if appended else 1):
        raise ValueError(f"matrix of shape {tuple(matrix.shape)} leaves no latent{' beside the ones' * appended}")
