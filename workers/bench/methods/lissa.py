"""LiSSA: the inverse as a Neumann series over mini-batches (Agarwal et al. 2017, arXiv:1602.03943, algorithm 1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from workers.bench.cases import Case
from workers.bench.methods.end_point import end_point_curvature

POWER_ITERATIONS = 30
# A power iteration approaches the largest eigenvalue from below.
POWER_MARGIN = 1.1


@dataclass(frozen=True, slots=True)
class LiSSA:
    """x ← x + (b − G_batch x − D x) / σ on the prepared rows of G, averaged over `repeats` independent series.

    After `depth` terms a direction of eigenvalue λ has come 1 − (1 − λ/σ)^depth of its way: what is small against
    σ / depth stays unsolved, as in any use of the method.
    """

    depth: int = 5000
    batch: int = 16
    repeats: int = 1

    def __call__(self, case: Case, b: Tensor) -> Tensor:
        curvature = end_point_curvature(case)
        rows, damping = torch.cat(curvature.blocks).float(), curvature.damping
        scale = stable_scale(rows, damping, self.batch)
        generator = torch.Generator().manual_seed(case.seed)
        series = [neumann(rows, damping, b, scale, self.batch, self.depth, generator) for _ in range(self.repeats)]
        return torch.stack(series).mean(0)


def neumann(
    rows: Tensor, damping: Tensor, b: Tensor, scale: float, batch: int, depth: int, generator: torch.Generator
) -> Tensor:
    """`depth` terms of the series for (RᵀR + D)⁻¹ b [p], each with a mini-batch of the rows R [m, p].

    The damping is inside the inverted matrix, so it shrinks x; σ scales the whole of it and drops out in the limit.
    Memory: 4 · batch · p bytes.
    """
    batch = min(batch, len(rows))
    x = b / scale
    for _ in range(depth):
        chosen = rows[torch.randperm(len(rows), generator=generator)[:batch].to(rows.device)]
        product = chosen.T @ (chosen @ x) * (len(rows) / batch)
        x = x + (b - product - damping * x) / scale
    return x


def stable_scale(rows: Tensor, damping: Tensor, batch: int) -> float:
    """σ at which the series contracts in mean square: E[H²_batch] ≼ σ E[H_batch].

    Between the largest eigenvalue, for whole batches, and the largest row's own, for single rows
    (expected smoothness of sampling without replacement: Gower et al. 2019, arXiv:1901.09401, proposition 3.8).
    """
    count, batch = len(rows), min(batch, len(rows))
    if count == 1:
        return float(rows.square().sum() + damping.max())
    largest_row = count * float(rows.square().sum(1).max())
    shared = count * (batch - 1) * top_eigenvalue(rows) + (count - batch) * largest_row
    return shared / (batch * (count - 1)) + float(damping.max())


def top_eigenvalue(rows: Tensor) -> float:
    """The largest eigenvalue of RᵀR by power iteration on the rows [m, p], with a margin since it errs low."""
    vector = torch.randn(len(rows), generator=torch.Generator().manual_seed(0)).to(rows)
    value = 0.0
    for _ in range(POWER_ITERATIONS):
        vector = rows @ (rows.T @ (vector / vector.norm()))
        value = float(vector.norm())
    return POWER_MARGIN * value
