"""Where along the training run each fact was learnt: the run in segments, each linearised at its checkpoint.

At the end of training a memorised instance has almost no gradient left; the trajectory still has it.
With gradient steps of preconditioner P taken as one implicit step a segment, the run without a loss
differs from the run with it by the recursion (SOURCE, arXiv:2405.12186, section 3, in Adam's metric)

    δ ← (I + Ση P C)⁻¹ (δ + Ση P b)      that is      δ ← (G' + D)⁻¹ (b + D δ),   D = P⁻¹/Ση

with b and the curvature G' of the objective after the ledger, both at the segment's checkpoint.
An anchor without checkpoints is one segment at its end: δ = C⁻¹ b.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from workers.engine.curvature import Curvature, stacked
from workers.engine.damping import adam_damping
from workers.engine.fisher import fisher_rows
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change, right_hand_side
from workers.engine.schedule import derived_seed
from workers.engine.solve import Solver

# New contents whose curvature is formed.
MAX_NEW_ROWS = 64


@dataclass(frozen=True, slots=True)
class Point:
    """Where a segment is linearised [p], its damping [p] (None: to be set from the curvature's trace), and
    `retention`: the part of D that carries δ over, 1/(1 + Ση · weight decay)."""

    parameters: Tensor
    damping: Tensor | None
    retention: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A point of the trajectory with the curvature of all sketched training instances there."""

    parameters: Tensor
    curvature: Curvature
    retention: float


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The segments, latest last; the instances whose rows they hold, in order; and how many there are in all."""

    segments: tuple[Segment, ...]
    sketched: tuple[str, ...]
    instances: int


@dataclass(frozen=True, slots=True)
class Step:
    """δ [p] fp32 and the largest relative residual of the solves behind it."""

    delta: Tensor
    residual: float


def points(record: TrainingRecord | None, anchor: Tensor) -> tuple[Point, ...]:
    """The segments of a training run, latest last.

    The first of several is left out: near B = 0 the weights move too far for a linearisation to hold.
    """
    if record is None:
        return (Point(anchor, None, 1.0),)
    count = len(record.checkpoints)
    if count < 2:
        return (_point(record, anchor, record.second_moments, sum(record.learning_rates)),)
    bounds = [record.steps * index // count for index in range(count + 1)]
    rates = [sum(record.learning_rates[start:end]) for start, end in pairwise(bounds)]
    return tuple(
        _point(record, checkpoint.parameters.to(anchor.device), checkpoint.second_moments.to(anchor.device), rate)
        for checkpoint, rate in list(zip(record.checkpoints, rates, strict=True))[1:]
        if rate > 0
    )


def gradients_along(resident: Resident, trajectory: Trajectory, changes: Sequence[Change]) -> list[Tensor]:
    """The right-hand side b [p] of the changes at every segment. Memory: 4p bytes a segment."""
    found = []
    for segment in trajectory.segments:
        resident.parameters.set(segment.parameters)
        found.append(right_hand_side(resident, changes))
    return found


def curvatures_after(
    resident: Resident, trajectory: Trajectory, changes: Sequence[Change], seed: int
) -> list[Curvature]:
    """C = G − G_old(S) + G_new(S) + D at every segment.

    A sketch of a part of the training set estimates the retained curvature by its retained rows, at the
    retained instances' share: unbiased, and positive definite however large the ledger. A sketch of the
    whole set gives G − G_old exactly.

    Memory: 4p bytes a segment for every new content, at most 64 of them; of more, an even sample stands for all.
    """
    gone = {change.instance_id for change in changes}
    kept = retained_scales(trajectory.sketched, gone, trajectory.instances)
    new = [change for change in changes if change.new is not None]
    rows = min(len(new), MAX_NEW_ROWS)
    sample = [new[index * len(new) // rows] for index in range(rows)]
    tokens = [change.new for change in sample if change.new is not None]
    weights = [change.weight * len(new) / rows for change in sample]
    found = []
    for index, segment in enumerate(trajectory.segments):
        resident.parameters.set(segment.parameters)
        generator = torch.Generator().manual_seed(derived_seed(seed, "new rows", index))
        blocks = list(fisher_rows(resident, tokens, weights, generator))
        curvature = segment.curvature.scaled(kept)
        found.append(curvature.extended(stacked(blocks, resident.parameters.size, resident.device)))
    return found


def retained_scales(sketched: Sequence[str], gone: set[str], instances: int) -> Tensor:
    """A factor for each sketched row: 0 if its instance is gone, else √ of what the sampling share changed by."""
    kept = torch.tensor([0.0 if name in gone else 1.0 for name in sketched], dtype=torch.float64)
    share_before = instances / len(sketched)
    share_after = (instances - len(gone)) / max(1.0, float(kept.sum()))
    return kept * math.sqrt(share_after / share_before)


def replay(
    trajectory: Trajectory,
    curvatures: Sequence[Curvature],
    gradients: Sequence[Tensor],
    *,
    multiplier: float,
    solver: Solver,
) -> Step:
    """δ at the end of training, by one implicit step a segment. Memory: that of one solve and 4p bytes."""
    delta = torch.zeros_like(trajectory.segments[-1].parameters)
    residual = 0.0
    for segment, curvature, gradient in zip(trajectory.segments, curvatures, gradients, strict=True):
        carried = (multiplier * segment.retention) * curvature.damping * delta
        solution = solver(curvature.damped(multiplier), gradient + carried)
        delta, residual = solution.x, max(residual, solution.residual)
    return Step(delta, residual)


def _point(record: TrainingRecord, parameters: Tensor, second_moments: Tensor, rates: float) -> Point:
    moments = second_moments.to(parameters.device)
    damping = adam_damping(moments, record.epsilon, rates, record.weight_decay)
    return Point(parameters, damping, 1 / (1 + rates * record.weight_decay))
