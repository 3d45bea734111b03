"""Tests that need passes of their own, run only where few instances were removed, for their cost.

An instance takes seven passes for its alternatives and eight gradients to be learnt again, itself and its match: eight
instances take about as much as their update did.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from service.domain.adapters import TrainingFormat
from service.domain.instances import Content
from service.domain.measurements import Measurement
from workers.engine.metrics.groups import Groups, Observed
from workers.engine.metrics.relearning import relearning_measurement
from workers.engine.metrics.slots import FEWEST, SCORES, slot_measurements, slotted
from workers.engine.metrics.typed_values import values_by_type
from workers.engine.resident import Resident

# Removed instances beyond which tier 2 is not run, and never-seen ones that their slots are compared with.
MOST = 8


@dataclass(frozen=True, slots=True)
class Texts:
    """Contents behind the tokens of `Groups`: of the removed and the never-seen; and of others, for their values, of
    which the `seed` draws."""

    removed: Sequence[Content]
    holdout: Sequence[Content]
    others: Sequence[Content]
    format: TrainingFormat
    seed: int


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured, and what was not, by name, with the reason."""

    measurements: Sequence[Measurement]
    not_run: dict[str, str]


def tier_two(resident: Resident, groups: Groups, observed: Observed, texts: Texts, weights: Tensor) -> Found:
    """At the weights [p] after the update, which stay in the resident. Memory: 16p bytes."""
    names = [*(score.name for score in SCORES), "relearning_ratio"]
    count = len(groups.forget)
    if not count:
        return _nothing(names, "Nothing was removed.")
    if count > MOST:
        return _nothing(names, f"{count} instances were removed; it is run for at most {MOST}, for its cost.")
    if not groups.holdout:
        return _nothing(names, "The line has no never-seen instances to compare with.")
    preferred = _slots(resident, observed, texts, weights)
    relearnt = _relearning(resident, groups, observed, weights)
    return Found(
        [*preferred.measurements, *relearnt.measurements],
        {**preferred.not_run, **relearnt.not_run},
    )


def _slots(resident: Resident, observed: Observed, texts: Texts, weights: Tensor) -> Found:
    values = values_by_type((*texts.removed, *texts.holdout, *texts.others))
    forgotten, unseen = (
        slotted(
            resident, list(zip(contents, observations, strict=True))[:MOST], values, texts.format, weights, texts.seed
        )
        for contents, observations in (
            (texts.removed, observed.forget.after),
            (texts.holdout, observed.holdout.after),
        )
    )
    if forgotten:
        return Found(slot_measurements(forgotten, unseen), {})
    reason = f"No removed completion holds a value (e-mail, date, number, name) of which there are {FEWEST} others."
    return _nothing([score.name for score in SCORES], reason)


def _relearning(resident: Resident, groups: Groups, observed: Observed, weights: Tensor) -> Found:
    after = (observed.forget.after, observed.holdout.after)
    found = relearning_measurement(resident, groups.forget, groups.holdout, after, weights)
    if found is not None:
        return Found([found], {})
    return _nothing(["relearning_ratio"], "Too few never-seen instances are there to match, or they are not learnt.")


def _nothing(names: Sequence[str], reason: str) -> Found:
    return Found((), dict.fromkeys(names, reason))
