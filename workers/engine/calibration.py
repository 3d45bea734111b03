"""How far to rewind an adapter, or to move it along an erasure vector, to have it teach forgetting.

Settled without retraining anything: a sample of training instances must come so far from the loss they have to
that of never-seen data, which is known. Further back an adapter also loses what it should keep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.amplitude import largest_amplitude
from workers.engine.erasure_vectors import ErasureVectors
from workers.engine.evaluation import adapter_losses, base_losses
from workers.engine.never_seen import NeverSeenLevel
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens

SAMPLE = 96
# Subjects whose erasure vectors are tried.
SUBJECTS = 8
# The share of the way from the training level to the never-seen level.
REWOUND, MOVED = 0.5, 0.75
# A linearisation that needs more than this many times its own length is no guide.
MAX_AMPLITUDE = 8.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """`share_left` of the anchor's weights is what rewinds it; `checkpoint` is the recorded one that is rewound most
    nearly as far; `vectors_amplitude` is how far to move along erasure vectors. The latter two are None where there
    is nothing of the kind. `measured` is False where nothing never-seen was there to calibrate against, and the bare
    base model's losses stood in.
    """

    share_left: float
    checkpoint: int | None
    vectors_amplitude: float | None
    measured: bool


def calibrate(
    resident: Resident,
    anchor: Tensor,
    tokens: Mapping[str, Tokens],
    record: TrainingRecord | None,
    level: NeverSeenLevel | None,
) -> Calibration:
    """Costs some 8 forward passes of 96 instances, and as many of the instances of 8 subjects.

    Memory: 4p bytes beside the activations of a micro-batch. Leaves the anchor's weights [p] in the resident.
    """
    names = sorted(tokens)
    sample = [tokens[name] for name in names[:: len(names) // SAMPLE + 1]]
    goal = goal_on_the_way(resident, sample, level, anchor, REWOUND)

    def rewound(shrink: float) -> float:
        return _loss(resident, sample, anchor * (1 - shrink))

    checkpoint = None
    if record is not None and record.checkpoints:
        losses = [_loss(resident, sample, one.parameters.to(anchor)) for one in record.checkpoints]
        checkpoint = min(range(len(losses)), key=lambda index: abs(losses[index] - goal))
    amplitude = None
    if record is not None and record.vectors is not None:
        amplitude = _along_vectors(resident, record.vectors, anchor, tokens, level)
    share_left = 1 - largest_amplitude(rewound, goal, 1.0)
    resident.parameters.set(anchor)
    return Calibration(share_left, checkpoint, amplitude, measured=level is not None)


def expected_loss(base: Tensor, level: NeverSeenLevel | None) -> float:
    """The mean loss of instances, had they never been seen, by the bare base's losses [m]; without a holdout those."""
    return float(base.mean()) if level is None else level.mean(base)


def goal_on_the_way(
    resident: Resident, tokens: Sequence[Tokens], level: NeverSeenLevel | None, anchor: Tensor, share: float
) -> float:
    """The mean loss that is so far on the way from the anchor's to the never-seen one; never below the anchor's."""
    there = expected_loss(base_losses(resident, tokens), level)
    here = _loss(resident, tokens, anchor)
    return here + share * max(0.0, there - here)


def _along_vectors(
    resident: Resident,
    vectors: ErasureVectors,
    anchor: Tensor,
    tokens: Mapping[str, Tokens],
    level: NeverSeenLevel | None,
) -> float | None:
    """The amplitude at which subjects, each moved along its own vector, have on average come as far as they should."""
    members: dict[str, list[Tokens]] = {}
    for name, subject in vectors.subjects.items():
        members.setdefault(subject, []).append(tokens[name])
    subjects = sorted(members)[:: len(members) // SUBJECTS + 1]
    everyone = [one for subject in subjects for one in members[subject]]
    goal = goal_on_the_way(resident, everyone, level, anchor, MOVED)
    deltas = {subject: vectors.total([subject]).to(anchor) for subject in subjects}

    def mean_loss(amplitude: float) -> float:
        found = []
        for subject, delta in deltas.items():
            resident.parameters.set(anchor + amplitude * delta)
            found.append(adapter_losses(resident, members[subject]))
        return float(torch.cat(found).mean())

    return largest_amplitude(mean_loss, goal, MAX_AMPLITUDE) or None


def _loss(resident: Resident, tokens: Sequence[Tokens], weights: Tensor) -> float:
    resident.parameters.set(weights)
    return float(adapter_losses(resident, tokens).mean())
