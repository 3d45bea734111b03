"""Is everything else as it was? Utility on what stays, the corrections, and how far predictions moved."""

from statistics import fmean

from service.domain.measurements import Group, Interval, Measurement, Wish
from workers.engine.metrics.groups import Observed, losses
from workers.engine.metrics.intervals import of_mean, paired
from workers.engine.metrics.observation import Moved
from workers.engine.metrics.outcome import outcome
from workers.engine.metrics.verdict import CORRECTED, RETAINED_RISE


def keeping_measurements(observed: Observed, training_level: float, kl_budget: float) -> list[Measurement]:
    """Losses of retained and never-seen instances, which should not rise; of corrected ones, which should have come
    down to the training level; KL(before ‖ after) on the retained, nats a label token, against its budget.

    A rise is harmless up to a tenth of what memorising is worth: never-seen minus training level.
    """
    unseen = observed.losses_before.holdout
    margin = None if unseen is None else RETAINED_RISE * max(unseen - training_level, 0.0)
    found = []
    for group, moved in ((Group.retained, observed.retained), (Group.never_seen, observed.holdout)):
        if moved.after:
            was, now = losses(moved.before), losses(moved.after)
            found.append(_loss(group, moved, fmean(was), paired(was, now), margin))
    if observed.corrected.after:
        found.append(_corrected(observed.corrected, training_level))
    if observed.retained.divergences:
        found.append(_divergence(observed.retained, kl_budget))
    return found


def _corrected(moved: Moved, training_level: float) -> Measurement:
    """Against the training level, which is known; harmless is what the verdict lets pass of the way there."""
    way = fmean(losses(moved.before)) - training_level
    margin = (1 - CORRECTED) * way if way > 0 else None
    return _loss(Group.corrected, moved, training_level, of_mean(losses(moved.after), training_level), margin)


def _loss(
    group: Group, moved: Moved, reference: float, difference: Interval | None, margin: float | None
) -> Measurement:
    was, now = losses(moved.before), losses(moved.after)
    return Measurement(
        metric="loss",
        group=group,
        n=len(now),
        before=fmean(was),
        after=fmean(now),
        wish=Wish.not_above,
        reference=reference,
        difference=difference,
        margin=margin,
        worst=max(now),
        outcome=outcome(Wish.not_above, len(now), difference, margin),
    )


def _divergence(moved: Moved, budget: float) -> Measurement:
    difference = of_mean(moved.divergences)
    return Measurement(
        metric="kl_to_previous",
        group=Group.retained,
        n=len(moved.divergences),
        before=0.0,
        after=fmean(moved.divergences),
        wish=Wish.not_above,
        reference=0.0,
        difference=difference,
        margin=budget,
        worst=max(moved.divergences),
        outcome=outcome(Wish.not_above, len(moved.divergences), difference, budget),
    )
