"""Does what was forgotten come back when a part of it is taught again?

Hidden knowledge returns faster than new knowledge is learnt: teaching half of the forgotten instances must not
lower the loss of the other half further than it does in an adapter that never knew either.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from workers.engine.evaluation import adapter_losses
from workers.engine.metrics.relearning import relearn
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens

STEPS = 8
LEARNING_RATE = 1e-3
# More than this many instances a step only make the measurement dearer.
TAUGHT = 32


@dataclass(frozen=True, slots=True)
class Relearning:
    """Mean loss of the half that is not taught, before and after the other half is."""

    before: float
    after: float


def relearning(resident: Resident, forgotten: Sequence[Tokens], start: Tensor) -> Relearning:
    """Teaches every second forgotten instance to weights [p] and watches the others. There must be at least two."""
    taught, watched = forgotten[::2][:TAUGHT], forgotten[1::2]
    relearned = relearn(resident, start, taught, STEPS, LEARNING_RATE)
    before, after = (_loss(resident, watched, weights) for weights in (start, relearned))
    return Relearning(before, after)


def _loss(resident: Resident, tokens: Sequence[Tokens], weights: Tensor) -> float:
    resident.parameters.set(weights)
    return float(adapter_losses(resident, tokens).mean())
