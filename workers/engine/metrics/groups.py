"""The four groups of instances that a verification looks at, as they were observed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from service.domain.engine import Losses
from service.domain.measurements import Group
from workers.engine.metrics.observation import Moved, Observation
from workers.engine.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Groups:
    """Tokens of the groups that are measured."""

    forget: Sequence[Tokens]
    corrected: Sequence[Tokens]
    retained: Sequence[Tokens]
    holdout: Sequence[Tokens]


def _nothing() -> Moved:
    return Moved((), (), ())


@dataclass(frozen=True, slots=True)
class Observed:
    """Every group before and after the update; an empty one has no observations. KL is measured on the retained."""

    forget: Moved = field(default_factory=_nothing)
    corrected: Moved = field(default_factory=_nothing)
    retained: Moved = field(default_factory=_nothing)
    holdout: Moved = field(default_factory=_nothing)

    @property
    def by_group(self) -> dict[Group, Moved]:
        return {
            Group.forgotten: self.forget,
            Group.corrected: self.corrected,
            Group.retained: self.retained,
            Group.never_seen: self.holdout,
        }

    @property
    def losses_before(self) -> Losses:
        return Losses(*(mean_loss(moved.before) for moved in self.by_group.values()))

    @property
    def losses_after(self) -> Losses:
        return Losses(*(mean_loss(moved.after) for moved in self.by_group.values()))

    @property
    def retained_kl(self) -> float:
        """Mean KL(before ‖ after) on the retained, nats a label token; 0 without any."""
        return fmean(self.retained.divergences) if self.retained.divergences else 0.0


def losses(observed: Sequence[Observation]) -> list[float]:
    return [one.nll for one in observed]


def mean_loss(observed: Sequence[Observation]) -> float | None:
    """Nats a label token; None of no instances."""
    return fmean(losses(observed)) if observed else None
