"""Solvers of the influence equation (G + D) x = b at the end of training, as the literature has them.

All start from the same right-hand side, damping and curvature sample; they differ in how they invert. The step
is taken as it comes, or with `calibrated` so long that the forgotten reach the loss of never-seen data.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.bench.cases import Case
from workers.bench.cost import offline
from workers.bench.methods.descent import losses_of
from workers.bench.methods.goals import along
from workers.engine.curvature import Curvature, stacked
from workers.engine.damping import mean_eigenvalue_damping
from workers.engine.fisher import fisher_rows, instance_gradients
from workers.engine.right_hand_side import dropout_off, instance_weights, right_hand_side
from workers.engine.solve import cg, woodbury
from workers.engine.tokens import Tokens

Direction = Callable[[Case, Tensor], Tensor]
"""From the case and its right-hand side b [p] to x [p], with the anchor in the resident."""


@dataclass(frozen=True, slots=True)
class EndPoint:
    """φ₀ + α x."""

    direction: Direction
    calibrated: bool = False

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        line.resident.parameters.set(line.anchor)
        x = self.direction(case, right_hand_side(line.resident, case.changes))
        return along(case, x) if self.calibrated else line.anchor + x


def gauss_newton_cg(case: Case, b: Tensor) -> Tensor:
    """Conjugate gradients on the prepared sketch of the Gauss–Newton matrix, the removed still in it."""
    return cg(end_point_curvature(case), b).x


def datainf(case: Case, b: Tensor) -> Tensor:
    """The mean of inverses for the inverse of the mean, by layer (arXiv:2310.00902, equation 5).

    With per-instance gradients g: x = (1/n) Σ [b − g (gᵀb) / (λ + gᵀg)] / λ, λ a tenth of a layer's mean gᵀg / d.
    """
    line = case.line
    x = torch.zeros_like(b)
    tokens = [line.tokens[example.id] for example in line.data.examples]
    rows = torch.cat([_gradients(case, tokens[start : start + 16]) for start in range(0, len(tokens), 16)])
    for columns in line.resident.parameters.slices.values():
        gradients, part = rows[:, columns], b[columns]
        squared = gradients.square().sum(1)
        level = 0.1 * float(squared.mean()) / gradients.shape[1]
        shares = (gradients @ part) / (level + squared)
        x[columns] = (part - gradients.T @ shares / len(gradients)) / level
    return x


def win_u(case: Case, b: Tensor) -> Tensor:
    """A Newton step with the forgotten's own Gauss–Newton matrix and no retained data, by Woodbury.

    In the manner of WIN-U (arXiv:2604.13438): the curvature that is left is the damping minus what goes.
    """
    line = case.line
    generator = torch.Generator().manual_seed(case.seed)
    blocks = list(fisher_rows(line.resident, case.old, [change.weight for change in case.changes], generator))
    rows = stacked(blocks, line.resident.parameters.size, line.resident.device)
    return woodbury(Curvature.of(rows, end_point_curvature(case).damping), b).x


def sketched_retained(case: Case, b: Tensor) -> Tensor:
    """C⁻¹ b with the curvature that Lethe's steps respect, the ledger taken out of it: its step in one."""
    line = case.line
    return woodbury(line.end_point.sketch.after(line.resident, case.changes, line.anchor, case.seed), b).x


def end_point_curvature(case: Case) -> Curvature:
    """A row of every training instance at the end of training, and a tenth of the mean eigenvalue as damping: made
    before any request arrives."""
    line = case.line
    weights = instance_weights([example.id for example in line.data.examples], line.training_record)
    with offline():
        line.resident.parameters.set(line.anchor)
        tokens, generator = [line.tokens[name] for name in weights], torch.Generator().manual_seed(0)
        rows = torch.cat(list(fisher_rows(line.resident, tokens, list(weights.values()), generator)))
        trace = float(rows.square().sum())
        return Curvature.of(rows, mean_eigenvalue_damping(trace, rows.shape[1], rows.device))


def _gradients(case: Case, tokens: list[Tokens]) -> Tensor:
    """Each instance's gradient [n, p]."""
    resident = case.line.resident
    with dropout_off(resident.model), instance_gradients(resident, len(tokens)) as rows:
        losses_of(resident, tokens).sum().backward()  # type: ignore[no-untyped-call]
    resident.parameters.zero_grad()
    return rows
