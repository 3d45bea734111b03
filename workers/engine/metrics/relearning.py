"""Does what was forgotten come back faster than new things are learnt? Hidden knowledge does (arXiv:2406.13356).

Relearning ratio: the loss that a few gradient steps on the forgotten take off them, over the same for as many
never-seen instances of like length and difficulty. 1 is as if never seen; above it something was still there.
"""

from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor, nn

from service.domain.measurements import Group, Interval, Measurement, Wish
from workers.engine.evaluation import adapter_losses
from workers.engine.gradients import weighted_gradient
from workers.engine.metrics.groups import losses
from workers.engine.metrics.intervals import unpaired
from workers.engine.metrics.observation import Observation
from workers.engine.metrics.outcome import outcome
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens

STEPS = 4
LEARNING_RATE = 1e-3
# Learning half as fast again as never-seen instances is harmless.
MARGIN = 0.5


def relearn(resident: Resident, start: Tensor, taught: Sequence[Tokens], steps: int, learning_rate: float) -> Tensor:
    """Weights [p] after so many Adam steps from `start`, each on all that is `taught`. Memory: 16p bytes."""
    weights = nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([weights], lr=learning_rate)
    resident.model.eval()
    for _ in range(steps):
        resident.parameters.set(weights.detach())
        weights.grad = weighted_gradient(resident, taught, [1 / len(taught)] * len(taught))
        optimizer.step()
    return weights.detach()


def relearning_measurement(
    resident: Resident,
    forgotten: Sequence[Tokens],
    unseen: Sequence[Tokens],
    observed: tuple[Sequence[Observation], Sequence[Observation]],
    weights: Tensor,
) -> Measurement | None:
    """From the weights [p]; `observed` are the forgotten and the never-seen under them. None where the never-seen do
    not learn at all, or are too few to match.

    Costs both groups 4 gradients and a forward pass an instance. Memory: 16p bytes. Leaves the weights in place.
    """
    chosen = matched(observed[0], observed[1])
    if len(chosen) < len(forgotten):
        return None
    drops = _drops(resident, forgotten, observed[0], weights)
    controls = _drops(resident, [unseen[i] for i in chosen], [observed[1][i] for i in chosen], weights)
    resident.parameters.set(weights)
    unit = fmean(controls)
    if unit <= 0:
        return None
    apart = unpaired(drops, controls)
    difference = None if apart is None else Interval(apart.low / unit, apart.high / unit)
    return Measurement(
        metric="relearning_ratio",
        group=Group.forgotten,
        n=len(drops),
        before=None,
        after=fmean(drops) / unit,
        wish=Wish.not_above,
        reference=1.0,
        difference=difference,
        margin=MARGIN,
        worst=max(drops) / unit,
        outcome=outcome(Wish.not_above, len(drops), difference, MARGIN),
    )


def matched(wanted: Sequence[Observation], offered: Sequence[Observation]) -> list[int]:
    """For each of the wanted the offered instance, by index, that is most like it and not yet taken.

    Alike is alike in present loss (there is as much to be learnt) and in the logarithm of the number of labels.
    """
    free = set(range(len(offered)))
    chosen: list[int] = []
    for one in wanted:
        if free:
            nearest = min(sorted(free), key=lambda index: _unlike(one, offered[index]))
            free.remove(nearest)
            chosen.append(nearest)
    return chosen


def _unlike(one: Observation, other: Observation) -> float:
    lengths = torch.tensor([float(len(one.logprobs)), float(len(other.logprobs))]).log()
    return abs(one.nll - other.nll) + float((lengths[0] - lengths[1]).abs())


def _drops(
    resident: Resident, tokens: Sequence[Tokens], observed: Sequence[Observation], weights: Tensor
) -> list[float]:
    resident.parameters.set(relearn(resident, weights, tokens, STEPS, LEARNING_RATE))
    after = adapter_losses(resident, tokens).tolist()
    return [was - now for was, now in zip(losses(observed), after, strict=True)]
