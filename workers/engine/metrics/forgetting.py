"""Are the forgotten like the never-seen? Every metric of the registry, with its interval and its outcome."""

from collections.abc import Sequence
from statistics import fmean

import torch

from service.domain.measurements import Group, Interval, Measurement, Outcome, Wish
from workers.engine.metrics import extraction_strength
from workers.engine.metrics.extraction_strength import EXTRACTION_STRENGTH
from workers.engine.metrics.groups import Observed
from workers.engine.metrics.intervals import proportion, unpaired
from workers.engine.metrics.likeness import MARGIN, harmless
from workers.engine.metrics.loss import LOSS
from workers.engine.metrics.membership import CHANCE, from_chance, membership_auc
from workers.engine.metrics.metric import Metric, Side
from workers.engine.metrics.observation import Observation
from workers.engine.metrics.outcome import outcome
from workers.engine.metrics.registry import METRICS
from workers.engine.metrics.verdict import EXTRACTABLE, TOO_FAR
from workers.engine.never_seen import NeverSeenLevel

# How far from the never-seen loss is harmless, as a share of the way there from the loss before. The verdict's own
# bounds lie within, so that no loss measurement fails where the verdict passes.
LOSS_MARGIN = TOO_FAR - 1


def forgotten_measurements(observed: Observed, level: NeverSeenLevel | None) -> list[Measurement]:
    """Of the forgotten against the never-seen, both under the adapter after the update."""
    if not observed.forget.after:
        return []
    found = []
    for metric in METRICS.values():
        if metric.needs_base and any(one.base_loss is None for one in observed.forget.after):
            continue
        found.append(_measured(metric, observed, level))
        if metric.attack and observed.holdout.after:
            found.append(_attacked(metric, observed))
    return [*found, _verbatim(observed)]


def never_seen_scores(metric: Metric, observed: Observed, level: NeverSeenLevel | None) -> list[float]:
    """The never-seen instances' scores; losses as they would be were the instances as hard as the forgotten ones.

    How hard an instance is the base's loss says, and what follows from it the slope of the never-seen level.
    """
    unseen = observed.holdout.after
    scores = [metric.score(one) for one in unseen]
    bases = [_bases(unseen), _bases(observed.forget.after)]
    if metric is not LOSS or level is None or not all(bases):
        return scores
    harder = fmean(bases[1])
    return [score + level.slope * (harder - base) for score, base in zip(scores, bases[0], strict=True)]


def _measured(metric: Metric, observed: Observed, level: NeverSeenLevel | None) -> Measurement:
    was, now = ([metric.score(one) for one in group] for group in (observed.forget.before, observed.forget.after))
    unseen = never_seen_scores(metric, observed, level)
    difference = unpaired(now, unseen) if unseen else None
    share = LOSS_MARGIN if metric is LOSS else MARGIN
    margin = EXTRACTABLE if metric is EXTRACTION_STRENGTH else harmless(fmean(was), unseen, len(was), share)
    return Measurement(
        metric=metric.name,
        group=Group.forgotten,
        n=len(now),
        before=fmean(was),
        after=fmean(now),
        wish=metric.wish,
        reference=fmean(unseen) if unseen else None,
        difference=difference,
        margin=margin if metric.judged else None,
        worst=min(now) if metric.bad is Side.low else max(now),
        outcome=outcome(metric.wish, len(now), difference, margin) if metric.judged else Outcome.informative,
    )


def _attacked(metric: Metric, observed: Observed) -> Measurement:
    """How well the score sets the forgotten apart from the never-seen; reported, and never a verdict."""
    auc = [
        membership_auc(_tensor(metric, members), _tensor(metric, unseen))
        for members, unseen in (
            (observed.forget.before, observed.holdout.before),
            (observed.forget.after, observed.holdout.after),
        )
    ]
    n = len(observed.forget.after)
    return Measurement(
        metric=f"auc_{metric.name}",
        group=Group.forgotten,
        n=n,
        before=auc[0],
        after=auc[1],
        wish=Wish.equal,
        reference=CHANCE,
        difference=from_chance(auc[1], n, len(observed.holdout.after)),
        margin=None,
        worst=None,
        outcome=Outcome.informative,
    )


def _verbatim(observed: Observed) -> Measurement:
    """The share of instances that the prompt alone brings out whole; the never-seen share is taken as known."""
    was, now, unseen = (
        [extraction_strength.verbatim(one) for one in group]
        for group in (observed.forget.before, observed.forget.after, observed.holdout.after)
    )
    reference = fmean(unseen) if unseen else None
    share = proportion(sum(now), len(now))
    difference = None if reference is None else Interval(share.low - reference, share.high - reference)
    return Measurement(
        metric="verbatim",
        group=Group.forgotten,
        n=len(now),
        before=fmean(was),
        after=fmean(now),
        wish=Wish.not_above,
        reference=reference,
        difference=difference,
        margin=EXTRACTABLE,
        worst=float(any(now)),
        outcome=outcome(Wish.not_above, len(now), difference, EXTRACTABLE),
    )


def _tensor(metric: Metric, group: Sequence[Observation]) -> torch.Tensor:
    return torch.tensor([metric.score(one) for one in group], dtype=torch.float64)


def _bases(group: Sequence[Observation]) -> list[float]:
    return [one.base_loss for one in group if one.base_loss is not None]
