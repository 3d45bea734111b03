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
from workers.engine.curvature import Curvature
from workers.engine.erasure_vectors import ErasureVectors
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
# Subjects whose erasure vectors are tried.
SUBJECTS = 8
RETAINED = 32
# A linearisation that needs more than this many times its own step is no guide.
MAX_AMPLITUDE = 8.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """c and α; `measured` is False where there was nothing never-seen to calibrate against.

    `vectors_amplitude` is the α of erasure vectors, None without any.
    """

    multiplier: float
    amplitude: float
    measured: bool
    vectors_amplitude: float | None = None


UNCALIBRATED = Calibration(1.0, 1.0, measured=False)


@dataclass(frozen=True, slots=True)
class PseudoRequest:
    """A group of training instances to be forgotten on trial, with what its solves need."""

    members: Sequence[Tokens]
    curvatures: Sequence[Curvature]
    gradients: Sequence[Tensor]


def calibrate(
    resident: Resident,
    trajectory: Trajectory,
    anchor: Tensor,
    tokens: Mapping[str, Tokens],
    weights: Mapping[str, float],
    level: NeverSeenLevel | None,
) -> Calibration:
    """Fits c and α. Costs 12 solves a segment and about 900 forward passes of one instance.

    α is 1, unmeasured, without a holdout, and where the training data are no better known than never-seen data.

    Memory: 4p bytes a pseudo-request and segment, and 4p a pseudo-request, beside one solve.
    """
    groups, retained = pseudo_requests(sorted(tokens))
    if level is None or not groups:
        return UNCALIBRATED
    requests = [
        _pseudo_request(
            resident, trajectory, [Change(name, weights[name], tokens[name], None) for name in group], seed
        )
        for seed, group in enumerate(groups)
    ]
    resident.parameters.set(anchor)
    members = [tokens for request in requests for tokens in request.members]
    goal = level.mean(base_losses(resident, members))
    if goal <= float(adapter_losses(resident, members).mean()):
        return UNCALIBRATED
    others = [tokens[name] for name in retained]
    trials = [_try(resident, trajectory, anchor, requests, others, goal, multiplier) for multiplier in MULTIPLIERS]
    resident.parameters.set(anchor)
    _, amplitude, multiplier = min(trials)
    return Calibration(multiplier, amplitude, measured=True)


def calibrate_vectors(
    resident: Resident,
    vectors: ErasureVectors,
    anchor: Tensor,
    tokens: Mapping[str, Tokens],
    level: NeverSeenLevel | None,
) -> float | None:
    """The α at which subjects, each moved along its own vector, have on average the loss of never-seen data.

    Costs about 8 forward passes of every instance of 8 subjects. None without anything never-seen.
    """
    members: dict[str, list[Tokens]] = {}
    for name, subject in vectors.subjects.items():
        members.setdefault(subject, []).append(tokens[name])
    subjects = sorted(members)[:: len(members) // SUBJECTS + 1]
    if level is None:
        return None
    goal = level.mean(base_losses(resident, [one for subject in subjects for one in members[subject]]))
    deltas = {subject: vectors.total([subject]).to(anchor) for subject in subjects}

    def mean_loss(amplitude: float) -> float:
        found = []
        for subject, delta in deltas.items():
            resident.parameters.set(anchor + amplitude * delta)
            found.append(adapter_losses(resident, members[subject]))
        return float(torch.cat(found).mean())

    amplitude = largest_amplitude(mean_loss, goal, MAX_AMPLITUDE)
    resident.parameters.set(anchor)
    return amplitude or None


def _pseudo_request(resident: Resident, trajectory: Trajectory, changes: Sequence[Change], seed: int) -> PseudoRequest:
    curvatures = curvatures_after(resident, trajectory, changes, seed)
    gradients = gradients_along(resident, trajectory, changes)
    return PseudoRequest([change.old for change in changes], curvatures, gradients)


def _try(
    resident: Resident,
    trajectory: Trajectory,
    anchor: Tensor,
    requests: Sequence[PseudoRequest],
    retained: Sequence[Tokens],
    goal: float,
    multiplier: float,
) -> tuple[float, float, float]:
    """With this c: the summed KL on retained instances at the α that reaches the goal, that α, and c."""
    deltas = [
        replay(trajectory, request.curvatures, request.gradients, multiplier=multiplier, solver=woodbury).delta
        for request in requests
    ]

    def mean_loss(amplitude: float) -> float:
        found = []
        for delta, request in zip(deltas, requests, strict=True):
            resident.parameters.set(anchor + amplitude * delta)
            found.append(adapter_losses(resident, request.members))
        return float(torch.cat(found).mean())

    amplitude = largest_amplitude(mean_loss, goal, MAX_AMPLITUDE)
    spills = [shift(resident, retained, anchor, anchor + amplitude * delta).divergence for delta in deltas]
    return sum(spills), amplitude, multiplier


def pseudo_requests(ids: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """Disjoint random groups, each at most a twentieth of the data, and retained instances apart from them."""
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(0)).tolist()
    size = min(GROUP_SIZE, int(GROUP_SHARE * len(ids)))
    groups = [[ids[index] for index in order[start : start + size]] for start in range(0, GROUPS * size, max(1, size))]
    return groups, [ids[index] for index in order[GROUPS * size : GROUPS * size + RETAINED]]
