"""The served artefact: does forgetting survive when a server stores the adapter in eight bits?

Small updates can vanish when weights are rounded, and what was forgotten comes back (arXiv:2410.16454). Each row of
each LoRA matrix is rounded to −127…127 times its own scale, max|w|/127, as weight-only int8 quantisation does.
"""

from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor

from service.domain.measurements import Group, Measurement, Wish
from workers.engine.evaluation import adapter_losses
from workers.engine.metrics.groups import losses
from workers.engine.metrics.intervals import paired
from workers.engine.metrics.observation import Observation
from workers.engine.metrics.outcome import outcome
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens

LEVELS = 127


def rounded(resident: Resident, weights: Tensor) -> Tensor:
    """Weights [p] as they come back from int8. Memory: 4p bytes."""
    named = resident.parameters.named(weights)
    return resident.parameters.vector({name: _rounded(matrix) for name, matrix in named.items()})


def int8_measurement(
    resident: Resident, tokens: Sequence[Tokens], after: Sequence[Observation], weights: Tensor, margin: float | None
) -> Measurement:
    """The forgotten's loss under rounded weights, which should not be below that under the weights [p] themselves.

    Costs a forward pass of each. Leaves the weights in the resident.
    """
    resident.parameters.set(rounded(resident, weights))
    served = adapter_losses(resident, tokens).tolist()
    resident.parameters.set(weights)
    full = losses(after)
    difference = paired(full, served)
    return Measurement(
        metric="loss_int8",
        group=Group.forgotten,
        n=len(served),
        before=None,
        after=fmean(served),
        wish=Wish.not_below,
        reference=fmean(full),
        difference=difference,
        margin=margin,
        worst=min(served),
        outcome=outcome(Wish.not_below, len(served), difference, margin),
    )


def _rounded(matrix: Tensor) -> Tensor:
    scale = matrix.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(matrix.dtype).tiny) / LEVELS
    return (matrix / scale).round() * scale
