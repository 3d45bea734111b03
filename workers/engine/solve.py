"""Solvers of C x = b behind one Protocol and a registry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from workers.engine.curvature import Curvature

# A relative residual that the error of the linear model dwarfs anyway.
REFINE_ABOVE = 1e-3


@dataclass(frozen=True, slots=True)
class Solution:
    """x [p] in the precision of b, its relative residual ‖Cx − b‖/‖b‖, and the number of iterations (0: direct)."""

    x: Tensor
    residual: float
    iterations: int


class Solver(Protocol):
    """Solves C x = b for one right-hand side b [p]."""

    def __call__(self, curvature: Curvature, b: Tensor) -> Solution: ...


class Factorised:
    """C⁻¹ by one factorisation, for as many right-hand sides as there are.

    C⁻¹b = D⁻¹ [b − Rᵀ (I + R D⁻¹ Rᵀ)⁻¹ R D⁻¹ b], the m × m system by Cholesky in fp64.

    Memory: 40p + 24m² bytes beside the curvature.
    """

    def __init__(self, curvature: Curvature) -> None:
        self.curvature = curvature
        scaled_gram = curvature.scales[:, None] * curvature.gram * curvature.scales
        scaled_gram.diagonal().add_(1)
        self._factor = torch.linalg.cholesky(scaled_gram)

    def __call__(self, b: Tensor) -> Tensor:
        """C⁻¹b [p] fp64, in the precision of the rows' products."""
        curvature, vector = self.curvature, b.double()
        projected = curvature.project(vector / curvature.damping)
        coefficients = torch.cholesky_solve(projected[:, None], self._factor)[:, 0]
        return (vector - curvature.combine(coefficients)) / curvature.damping


def woodbury(curvature: Curvature, b: Tensor) -> Solution:
    """`Factorised` for one right-hand side; if the products leave a residual, one step of iterative refinement."""
    inverse = Factorised(curvature)
    x = inverse(b)
    residual = _residual(curvature, x, b)
    if residual > REFINE_ABOVE:
        x += inverse(b - curvature.apply(x))
        residual = _residual(curvature, x, b)
    return Solution(x.to(b.dtype), residual, 0)


def cg(curvature: Curvature, b: Tensor, *, tolerance: float = 1e-5, max_iterations: int = 1000) -> Solution:
    """Conjugate gradients preconditioned by D (Golub & Van Loan, algorithm 11.5.1).

    Ends at ‖Cx − b‖ ≤ tolerance · ‖b‖; with m rows there are at most m + 1 distinct eigenvalues.

    Memory: 48p bytes beside the curvature.
    """
    x = torch.zeros_like(b, dtype=torch.float64)
    remainder = b.double()
    direction = remainder / curvature.damping
    rho = remainder @ direction
    goal = tolerance * remainder.norm()
    iterations = 0
    while remainder.norm() > goal and iterations < max_iterations:
        image = curvature.apply(direction)
        step = rho / (direction @ image)
        x += step * direction
        remainder = remainder - step * image
        preconditioned = remainder / curvature.damping
        rho, previous = remainder @ preconditioned, rho
        direction = preconditioned + (rho / previous) * direction
        iterations += 1
    return Solution(x.to(b.dtype), _residual(curvature, x, b), iterations)


SOLVERS: Mapping[str, Solver] = {"woodbury": woodbury, "cg": cg}


def _residual(curvature: Curvature, x: Tensor, b: Tensor) -> float:
    norm = float(b.norm())
    return float((curvature.apply(x) - b).norm()) / norm if norm > 0 else 0.0
