"""When a method that has no end of its own stops: at what never-seen data show, never at an oracle."""

from collections.abc import Callable

from torch import Tensor

from workers.bench.cases import Case
from workers.engine.amplitude import largest_amplitude
from workers.engine.evaluation import adapter_losses, base_losses

MAX_AMPLITUDE = 64.0


def goal_loss(case: Case) -> float:
    """The mean loss that the forgotten would have, had they never been seen: the holdout's, at equal difficulty."""
    level = case.line.preparation.never_seen
    if level is None:
        return float(base_losses(case.line.resident, case.old).mean())
    return level.mean(base_losses(case.line.resident, case.old))


def forgotten(case: Case, goal: float) -> Callable[[], bool]:
    """Whether the resident's present weights have reached the goal."""
    return lambda: float(adapter_losses(case.line.resident, case.old).mean()) >= goal


def learned(case: Case) -> bool:
    """Whether the resident's present weights know the new contents as well as the anchor knows its training data."""
    if not case.new:
        return True
    return float(adapter_losses(case.line.resident, case.new).mean()) <= case.line.preparation.training_level


def along(case: Case, direction: Tensor) -> Tensor:
    """The weights [p] at the longest move along a direction [p] that keeps the forgotten loss at its goal."""
    line = case.line

    def loss(amplitude: float) -> float:
        line.resident.parameters.set(line.anchor + amplitude * direction)
        return float(adapter_losses(line.resident, case.old).mean())

    return line.anchor + largest_amplitude(loss, goal_loss(case), MAX_AMPLITUDE) * direction
