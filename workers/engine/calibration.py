"""Choosing the damping multiplier c and the amplitude α without retraining anything.

Small random groups of training instances are taken as pseudo-requests. Really forgotten, they would
on average have the loss of never-seen data, which is known: so α is where the groups' mean loss gets
there, and c is the one that does it at the least change on retained instances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.amplitude import largest_amplitude
from workers.engine.evaluation import adapter_losses, base_losses
from workers.engine.never_seen import NeverSeenLevel
from workers.engine.predictions import shift
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change
from workers.engine.solve import woodbury
from workers.engine.tokens import Tokens
from workers.engine.trajectory import Trajectory, curvatures_after, gradients_along, replay

MULTIPLIERS = (1.0, 3.0, 10.0)
GROUPS = 4
GROUP_SIZE = 6
GROUP_SHARE = 0.05
RETAINED = 32
# A linearisation that needs more than this many times its own step is no guide.
MAX_AMPLITUDE = 8.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """c and α; `measured` is False where there was nothing never-seen to calibrate against."""

    multiplier: float
    amplitude: float
    measured: bool


def calibrate(
    resident: Resident,
    trajectory: Trajectory,
    anchor: Tensor,
    tokens: Mapping[str, Tokens],
    weights: Mapping[str, float],
    level: NeverSeenLevel | None,
) -> Calibration:
    """Fits c and α on pseudo-requests. Costs 3 · 4 solves a segment and about 300 forward passes of one instance.

    Memory: 4p bytes a pseudo-request beside a solve.
    """
    groups, retained = pseudo_requests(sorted(tokens))
    if level is None or not groups:
        return Calibration(1.0, 1.0, measured=False)
    prepared = []
    for index, group in enumerate(groups):
        changes = [Change(name, weights[name], tokens[name], None) for name in group]
        curvatures = curvatures_after(resident, trajectory, changes, seed=index)
        prepared.append((curvatures, gradients_along(resident, trajectory, changes)))
    resident.parameters.set(anchor)
    members = [tokens[name] for group in groups for name in group]
    goal = level.mean(base_losses(resident, members))
    best: tuple[float, Calibration] | None = None
    for multiplier in MULTIPLIERS:
        deltas = [
            replay(trajectory, curvatures, gradients, multiplier=multiplier, solver=woodbury).delta
            for curvatures, gradients in prepared
        ]

        def mean_loss(amplitude: float, deltas: Sequence[Tensor] = deltas) -> float:
            found = []
            for delta, group in zip(deltas, groups, strict=True):
                resident.parameters.set(anchor + amplitude * delta)
                found.append(adapter_losses(resident, [tokens[name] for name in group]))
            return float(torch.cat(found).mean())

        amplitude = largest_amplitude(mean_loss, goal, MAX_AMPLITUDE)
        spill = sum(
            shift(resident, [tokens[name] for name in retained], anchor, anchor + amplitude * delta).divergence
            for delta in deltas
        )
        if best is None or spill < best[0]:
            best = spill, Calibration(multiplier, amplitude, measured=True)
    resident.parameters.set(anchor)
    assert best is not None
    return best[1]


def pseudo_requests(ids: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """Disjoint random groups, each at most a twentieth of the data, and retained instances apart from them."""
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(0)).tolist()
    size = min(GROUP_SIZE, int(GROUP_SHARE * len(ids)))
    groups = [[ids[index] for index in order[start : start + size]] for start in range(0, GROUPS * size, max(1, size))]
    return groups, [ids[index] for index in order[GROUPS * size : GROUPS * size + RETAINED]]
