"""Is the true value of a slot still preferred to others of its type? Truth ratio, exposure and rank.

Tier 2: every alternative passes through the model once. Slots are looked for in the completions themselves, and
where too few instances have one, nothing is measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from torch import Tensor

from service.domain.adapters import TrainingFormat
from service.domain.instances import Content
from service.domain.measurements import Group, Measurement, Wish
from workers.engine.errors import EngineRefusal
from workers.engine.metrics.exposure import exposure, rank_share
from workers.engine.metrics.intervals import unpaired
from workers.engine.metrics.observation import Observation, observe
from workers.engine.metrics.outcome import outcome
from workers.engine.metrics.truth_ratio import truth_ratio
from workers.engine.metrics.typed_values import alternatives
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens, encode

# Alternatives to a value: with fewer than the first, a rank says nothing.
FEWEST, MOST = 3, 7


@dataclass(frozen=True, slots=True)
class Slotted:
    """An instance as it was observed, and its completion with other values in the slot."""

    true: Observation
    others: Sequence[Observation]


@dataclass(frozen=True, slots=True)
class _Score:
    name: str
    of: Callable[[Observation, Sequence[Observation]], float]
    wish: Wish
    # What the forgotten may have more than the never-seen: a tenth of the scale, one bit, a quarter of the ranks.
    margin: float


SCORES = (
    _Score("truth_ratio", truth_ratio, Wish.not_above, 0.1),
    _Score("exposure", exposure, Wish.not_above, 1.0),
    _Score("slot_rank", rank_share, Wish.not_below, 0.25),
)


def slotted(
    resident: Resident,
    instances: Sequence[tuple[Content, Observation]],
    values: dict[str, list[str]],
    fmt: TrainingFormat,
    weights: Tensor,
    seed: int,
) -> list[Slotted]:
    """Those of the instances that have enough alternatives, under weights [p], which stay in the resident."""
    found = []
    encoded = [(true, _encoded(resident, content, values, fmt, seed)) for content, true in instances]
    usable = [(true, others) for true, others in encoded if len(others) >= FEWEST]
    observed = iter(observe(resident, [one for _, others in usable for one in others], weights))
    for true, others in usable:
        found.append(Slotted(true, [next(observed) for _ in others]))
    return found


def slot_measurements(forgotten: Sequence[Slotted], unseen: Sequence[Slotted]) -> list[Measurement]:
    """Of the forgotten against the never-seen; at least one is forgotten."""
    return [_measured(score, forgotten, unseen) for score in SCORES]


def _measured(score: _Score, forgotten: Sequence[Slotted], unseen: Sequence[Slotted]) -> Measurement:
    now, others = ([score.of(one.true, one.others) for one in group] for group in (forgotten, unseen))
    difference = unpaired(now, others)
    return Measurement(
        metric=score.name,
        group=Group.forgotten,
        n=len(now),
        before=None,
        after=fmean(now),
        wish=score.wish,
        reference=fmean(others) if others else None,
        difference=difference,
        margin=score.margin,
        worst=max(now) if score.wish is Wish.not_above else min(now),
        outcome=outcome(score.wish, len(now), difference, score.margin),
    )


def _encoded(
    resident: Resident, content: Content, values: dict[str, list[str]], fmt: TrainingFormat, seed: int
) -> list[Tokens]:
    found = []
    for other in alternatives(content, values, MOST, seed):
        try:
            found.append(encode(resident.tokenizer, other, fmt))
        except EngineRefusal:
            # A longer value than the format allows is no alternative.
            continue
    return found
