"""Mending what the steps disturbed: a few steps on the loss of other samples of what stays.

The sketch holds back only the changes that its rows span. The rest is met where it shows: the retained instances'
loss, taken down to the training level again. A training step in Adam's metric, but as long as bridges the distance
if the loss were linear, so that it needs no learning rate.
"""

from collections.abc import Sequence

from torch import Tensor

from workers.engine.evaluation import adapter_losses
from workers.engine.gradients import weighted_gradient
from workers.engine.resident import Resident
from workers.engine.right_hand_side import dropout_off
from workers.engine.tokens import Tokens

# Instances of a step, and steps at most.
BATCH, MOST = 32, 12
# Gradients of one instance that a step costs each of its batch.
MEND_COST = 4 / 3


def mend(
    resident: Resident, retained: Sequence[Tokens], damping: Tensor, level: float, weights: Tensor, *, steps: int
) -> Tensor:
    """Weights [p] after at most `steps` steps from `weights`, each on the next 32 of the `retained`, in the metric
    `damping` [p]. A batch whose mean loss is at `level` already is passed over.

    Costs each instance of a batch a gradient and a forward pass. Leaves some of these weights in the resident.
    """
    for step in range(steps if retained else 0):
        batch = [retained[(step * BATCH + index) % len(retained)] for index in range(min(BATCH, len(retained)))]
        resident.parameters.set(weights)
        loss = float(adapter_losses(resident, batch).mean())
        with dropout_off(resident.model):
            gradient = weighted_gradient(resident, batch, [1 / len(batch)] * len(batch))
        direction = gradient / damping
        slope = float(gradient @ direction)
        if loss > level and slope > 0:
            weights = weights - (loss - level) / slope * direction
    return weights
