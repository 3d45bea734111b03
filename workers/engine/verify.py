"""Verification: what is observed before and after the update, the verdict on it, and everything else it tells.

Tier 1 is one forward pass a group and adapter. The adapter before the update and the bare base are looked at once,
however many weights are tried; only the retained pass twice through each trial, since whole predictions are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, pstdev

import torch
from torch import Tensor

from service.domain.engine import Losses
from service.domain.measurements import Verified
from workers.engine.calibration import expected_loss
from workers.engine.evaluation import base_losses
from workers.engine.metrics.extraction_strength import EXTRACTION_STRENGTH
from workers.engine.metrics.groups import Groups, Observed, mean_loss
from workers.engine.metrics.likeness import likenesses
from workers.engine.metrics.observation import Moved, Observation, observe, observe_both, with_base
from workers.engine.metrics.verdict import Extraction, judge
from workers.engine.never_seen import NeverSeenLevel
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Baseline:
    """Observations under the weights [p] before the update. The bare base's losses of the forgotten and the
    never-seen are with them."""

    weights: Tensor
    forget: Sequence[Observation]
    corrected: Sequence[Observation]
    holdout: Sequence[Observation]


@dataclass(frozen=True, slots=True)
class Verification:
    """Mean losses before and after, KL(before ‖ after) on retained instances, the verdict and its reasons.

    `verified` is empty until the weights are settled and the whole report is made.
    """

    observed: Observed
    passed: bool | None
    reasons: tuple[str, ...]
    verified: Verified = field(default_factory=Verified)

    @property
    def before(self) -> Losses:
        return self.observed.losses_before

    @property
    def after(self) -> Losses:
        return self.observed.losses_after

    @property
    def retained_kl(self) -> float:
        return self.observed.retained_kl


def baseline(resident: Resident, groups: Groups, weights: Tensor) -> Baseline:
    """Costs a forward pass of each, but for the retained, and another of the forgotten and the never-seen."""
    forget, corrected, holdout = (
        observe(resident, group, weights) for group in (groups.forget, groups.corrected, groups.holdout)
    )
    return Baseline(
        weights,
        with_base(forget, base_losses(resident, groups.forget)),
        corrected,
        with_base(holdout, base_losses(resident, groups.holdout)),
    )


def verify(
    resident: Resident,
    groups: Groups,
    before: Baseline,
    after: Tensor,
    *,
    goal: float | None,
    never_seen: NeverSeenLevel | None,
    noise: float,
    training_level: float,
) -> Verification:
    """Measures and judges weights [p]. `goal` is the mean loss that the forgotten instances should reach, `noise` its
    standard error.

    Costs a forward pass of every instance in the groups, and two of the retained. Memory: `observe_both`'s.
    """
    observed = Observed(
        forget=_moved(resident, groups.forget, before.forget, after),
        corrected=_moved(resident, groups.corrected, before.corrected, after),
        retained=observe_both(resident, groups.retained, before.weights, after),
        holdout=_moved(resident, groups.holdout, before.holdout, after),
    )
    passed, reasons = judge(
        observed.losses_before,
        observed.losses_after,
        len(groups.forget),
        goal,
        noise,
        training_level,
        uncalibrated=never_seen is None,
        extraction=extraction(observed.forget.after, observed.holdout.after),
        likenesses=likenesses(observed.forget.before, observed.forget.after, observed.holdout.after),
    )
    return Verification(observed, passed, reasons)


def extraction(forgotten: Sequence[Observation], unseen: Sequence[Observation]) -> Extraction | None:
    """How much of the forgotten can be extracted, and of the never-seen; None without either."""
    if not forgotten or not unseen:
        return None
    ours, theirs = ([EXTRACTION_STRENGTH.score(one) for one in group] for group in (forgotten, unseen))
    return Extraction(fmean(ours), fmean(theirs), pstdev(theirs) / len(ours) ** 0.5)


def goal_of(before: Baseline, level: NeverSeenLevel | None) -> float | None:
    """The mean loss of the removed instances had they never been seen, never below what it is; None without any.

    Without a never-seen level the bare base's losses stand in.
    """
    here = mean_loss(before.forget)
    if here is None:
        return None
    base = torch.tensor([one.base_loss for one in before.forget if one.base_loss is not None])
    return max(here, expected_loss(base, level))


def _moved(resident: Resident, tokens: Sequence[Tokens], before: Sequence[Observation], after: Tensor) -> Moved:
    observed = observe(resident, tokens, after, [one.compressed for one in before])
    return Moved(
        before, [replace(now, base_loss=was.base_loss) for now, was in zip(observed, before, strict=True)], ()
    )
