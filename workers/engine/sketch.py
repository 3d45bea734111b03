"""The curvature that a step must respect, as sampled rows of the Fisher matrix at several points.

At the end of training a memorised instance has almost no curvature left, so that a step which only the end
point's curvature holds back disturbs what stays. At the run's checkpoints, where each fact was still being
learnt, the curvature still shows which directions carry it. So rows are sampled at the checkpoints and
at the end; for an adapter without a record at itself and at smaller and smaller shares of itself, which undoes
memorising in much the same order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.curvature import Curvature, stacked
from workers.engine.damping import adam_damping, mean_eigenvalue_damping
from workers.engine.fisher import fisher_rows
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change
from workers.engine.schedule import derived_seed
from workers.engine.tokens import Tokens

# Rows at most, and the bytes that they may take in half precision.
ROWS = 4608
# Rows of one instance at one point. More of them disturb less of what stays, but their Gram matrix costs the square.
DRAWS = 3
ROW_BYTES = 4 << 30
# How much of an adapter without a record is left at each point, and how many times more curvature they stand for:
# they show about a quarter of what a run's checkpoints do (measured on the benchmark's world).
SHARES_LEFT, SHORTFALL = (0.7, 0.85, 1.0), 4.0
# New contents whose curvature is formed.
MAX_NEW_ROWS = 64


@dataclass(frozen=True, slots=True)
class Sketch:
    """Rows at the anchor and before it, the instance each was sampled for, and how many instances there are.

    `emphasis` is how many times their curvature the rows stand for.
    """

    curvature: Curvature
    owners: tuple[str, ...]
    instances: int
    emphasis: float = 1.0

    def after(self, resident: Resident, changes: Sequence[Change], anchor: Tensor, seed: int) -> Curvature:
        """C = G − G_old(S) + G_new(S) + D.

        A sketch of a part of the training set estimates the retained curvature by its retained rows, at the
        retained instances' share: unbiased, and positive definite however large the ledger. A sketch of the
        whole set leaves out exactly the rows of what is gone. Leaves the anchor's weights [p] in the resident.

        Memory: 4p bytes for every new content, at most 64 of them; of more, an even sample stands for all.
        """
        gone = {change.instance_id for change in changes}
        kept = self.curvature.scaled(retained_scales(self.owners, gone, self.instances))
        new = [(change.new, change.weight) for change in changes if change.new is not None]
        count = min(len(new), MAX_NEW_ROWS)
        sample = [new[index * len(new) // count] for index in range(count)]
        resident.parameters.set(anchor)
        generator = torch.Generator().manual_seed(derived_seed(seed, "new rows", 0))
        weights = [self.emphasis * weight * len(new) / count for _, weight in sample]
        blocks = list(fisher_rows(resident, [tokens for tokens, _ in sample], weights, generator))
        return kept.extended(stacked(blocks, resident.parameters.size, resident.device))


def sketch(
    resident: Resident,
    tokens: dict[str, Tokens],
    weights: dict[str, float],
    record: TrainingRecord | None,
    anchor: Tensor,
) -> Sketch:
    """Samples rows for the training instances, as often as the budget allows, at every point alike.

    Costs one instance gradient a row, at most 4608. Memory: 2Sp or 4Sp bytes and 8S², and 4 · 16 · p of fresh rows.
    """
    places = points(record, anchor)
    limit = row_limit(resident.parameters.size) // len(places)
    chosen = sample_ids(list(tokens), max(1, limit))
    draws = max(1, min(DRAWS, limit // len(chosen)))
    emphasis = SHORTFALL if record is None else 1.0
    scale = emphasis * len(tokens) / len(chosen) / (len(places) * draws)
    size = len(chosen) * len(places) * draws
    # Half precision only where fp32 would not fit: rounding is far below the sampling noise of the rows.
    full = 4 * resident.parameters.size * size <= ROW_BYTES // 4
    dtype = torch.float32 if full else torch.bfloat16
    rows = torch.empty(size, resident.parameters.size, dtype=dtype, device=resident.device)
    start = 0
    for index, place in enumerate(places):
        resident.parameters.set(place)
        for draw in range(draws):
            generator = torch.Generator().manual_seed(derived_seed(index, "rows", draw))
            scaled = [scale * weights[name] for name in chosen]
            for block in fisher_rows(resident, [tokens[name] for name in chosen], scaled, generator):
                rows[start : start + len(block)] = block
                start += len(block)
    resident.parameters.set(anchor)
    curvature = Curvature.of(rows, _damping(record, rows))
    return Sketch(curvature, tuple(chosen) * (len(places) * draws), len(tokens), emphasis)


def points(record: TrainingRecord | None, anchor: Tensor) -> tuple[Tensor, ...]:
    """Weights [p] where rows are sampled, the anchor last.

    The first of several checkpoints is left out: near B = 0 the weights move too far for a linearisation to hold.
    """
    if record is None:
        return tuple(anchor * share for share in SHARES_LEFT)
    checkpoints = record.checkpoints[1:] if len(record.checkpoints) > 1 else record.checkpoints
    return (*(checkpoint.parameters.to(anchor.device) for checkpoint in checkpoints), anchor)


def row_limit(size: int) -> int:
    """How many rows of p = `size` there may be, so that they fit the budget in half precision."""
    return max(1, min(ROWS, ROW_BYTES // (2 * size)))


def sample_ids(ids: Sequence[str], limit: int) -> list[str]:
    """A systematic random sample in the order of the data: every stretch of it is represented in proportion."""
    if len(ids) <= limit:
        return list(ids)
    offset = float(torch.rand((), generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    return [ids[int((index + offset) * len(ids) / limit)] for index in range(limit)]


def retained_scales(owners: Sequence[str], gone: set[str], instances: int) -> Tensor:
    """A factor for each row: 0 if its instance is gone, else √ of what the sampling share changed by."""
    kept = torch.tensor([0.0 if name in gone else 1.0 for name in owners], dtype=torch.float64)
    sampled = set(owners)
    share_before = instances / len(sampled)
    share_after = (instances - len(gone)) / max(1, len(sampled - gone))
    return kept * math.sqrt(share_after / share_before)


def _damping(record: TrainingRecord | None, rows: Tensor) -> Tensor:
    """Adam's metric at the first of the points, where the second moments are not yet those of a run at rest."""
    if record is None:
        trace = sum(float(row.float().square().sum()) for row in rows)
        return mean_eigenvalue_damping(trace, rows.shape[1], rows.device)
    places = record.checkpoints[1:] or record.checkpoints
    moments = places[0].second_moments if places else record.second_moments
    return adam_damping(moments.to(rows.device), record.epsilon, sum(record.learning_rates), record.weight_decay)
