"""Everything that one verification can say, in the words of the domain."""

from dataclasses import dataclass

from torch import Tensor

from service.domain.measurements import Power, Verified
from workers.engine.metrics.forgetting import forgotten_measurements
from workers.engine.metrics.groups import Groups, Observed
from workers.engine.metrics.histogram import distributions
from workers.engine.metrics.int8 import int8_measurement
from workers.engine.metrics.keeping import keeping_measurements
from workers.engine.metrics.power import Sample, power
from workers.engine.metrics.tier_two import Texts, tier_two
from workers.engine.metrics.verdict import RETAINED_RISE
from workers.engine.never_seen import NeverSeenLevel
from workers.engine.resident import Resident

NO_UNSEEN = "The line has no never-seen instances."
NOTHING_REMOVED = "Nothing was removed."
# What no update can measure on its own.
NEVER_RUN = {
    "ks_forget_quality": "It needs an oracle: an adapter trained without the forgotten.",
    "priv_leak": "It needs an oracle: an adapter trained without the forgotten.",
    "paraphrases": "No rewordings of the removed prompts are made.",
    "generation": "Greedy extraction follows from teacher-forced predictions; nothing is sampled.",
}


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The line's levels that measurements are held against: see `Preparation`. `kl_budget` in nats a label token."""

    never_seen: NeverSeenLevel | None
    training_level: float
    kl_budget: float


def report(
    resident: Resident,
    groups: Groups,
    observed: Observed,
    texts: Texts,
    yardstick: Yardstick,
    weights: Tensor,
) -> Verified:
    """At the weights [p] after the update, which stay in the resident.

    Beside what tier 2 costs: a forward pass of the removed instances.
    """
    unseen, level = observed.losses_before.holdout, yardstick.training_level
    measurements = forgotten_measurements(observed, yardstick.never_seen)
    measurements += keeping_measurements(observed, level, yardstick.kl_budget)
    not_run = dict(NEVER_RUN)
    if groups.forget:
        margin = None if unseen is None else RETAINED_RISE * max(unseen - level, 0.0)
        measurements.append(int8_measurement(resident, groups.forget, observed.forget.after, weights, margin))
    else:
        not_run |= {"membership": NOTHING_REMOVED, "loss_int8": NOTHING_REMOVED}
    if not groups.holdout:
        not_run["membership"] = NO_UNSEEN
    second = tier_two(resident, groups, observed, texts, weights)
    worth, untried = _power(observed, level)
    return Verified(
        measurements=(*measurements, *second.measurements),
        distributions=tuple(distributions(observed)),
        power=tuple(worth),
        not_run={**not_run, **second.not_run, **untried},
    )


def _power(observed: Observed, training_level: float) -> tuple[list[Power], dict[str, str]]:
    if not observed.forget.after:
        return [], {"power": NOTHING_REMOVED}
    if not observed.holdout.before:
        return [], {"power": NO_UNSEEN}
    known, unseen = Sample.of(observed.retained.before), Sample.of(observed.holdout.before)
    return power(known, unseen, training_level, len(observed.forget.after))
