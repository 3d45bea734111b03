"""Solvers of C x = b behind one Protocol and a registry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from workers.engine.curvature import Curvature


@dataclass(frozen=True, slots=True)
class Solution:
    """x [p] fp32, its relative residual ‖Cx − b‖/‖b‖, and the number of iterations (0: direct)."""

    x: Tensor
    residual: float
    iterations: int


class Solver(Protocol):
    """Solves C x = b for one right-hand side b [p]."""

    def __call__(self, curvature: Curvature, b: Tensor) -> Solution: ...


def woodbury(curvature: Curvature, b: Tensor) -> Solution:
    """C⁻¹b = (cD)⁻¹ [b − Rᵀ (cI + R D⁻¹ Rᵀ)⁻¹ R D⁻¹ b], the m × m system by Cholesky in fp64.

    Memory: 12p + 24m² bytes beside the curvature.
    """
    c = curvature.multiplier
    scaled_gram = curvature.scales[:, None] * curvature.gram * curvature.scales
    scaled_gram.diagonal().add_(c)
    factor = torch.linalg.cholesky(scaled_gram)
    projected = curvature.project(b / curvature.damping)
    coefficients = torch.cholesky_solve(projected[:, None], factor)[:, 0]
    x = (b - curvature.combine(coefficients)) / (c * curvature.damping)
    return Solution(x, _residual(curvature, x, b), 0)


def cg(curvature: Curvature, b: Tensor, *, tolerance: float = 1e-6, max_iterations: int = 1000) -> Solution:
    """Conjugate gradients preconditioned by D (Golub & Van Loan, algorithm 11.5.1).

    Ends at ‖Cx − b‖ ≤ tolerance · ‖b‖; with m rows there are at most m + 1 distinct eigenvalues.

    Memory: 32p bytes beside the curvature; scalars in fp64.
    """
    x = torch.zeros_like(b)
    remainder = b.clone()
    z = remainder / curvature.damping
    direction = z.clone()
    rho = _dot(remainder, z)
    goal = tolerance * float(b.norm())
    iterations = 0
    while float(remainder.norm()) > goal and iterations < max_iterations:
        image = curvature.apply(direction)
        step = rho / _dot(direction, image)
        x += step * direction
        remainder -= step * image
        z = remainder / curvature.damping
        rho, previous = _dot(remainder, z), rho
        direction = z + (rho / previous) * direction
        iterations += 1
    return Solution(x, _residual(curvature, x, b), iterations)


SOLVERS: Mapping[str, Solver] = {"woodbury": woodbury, "cg": cg}


def _dot(left: Tensor, right: Tensor) -> float:
    return float(left.double() @ right.double())


def _residual(curvature: Curvature, x: Tensor, b: Tensor) -> float:
    norm = float(b.norm())
    return float((curvature.apply(x) - b).norm()) / norm if norm > 0 else 0.0
