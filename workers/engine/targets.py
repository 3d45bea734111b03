"""What a ledger asks of the adapter: an aim for every side of every change."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.approach import Aim, Forgotten, Taught
from workers.engine.calibration import expected_loss
from workers.engine.evaluation import adapter_losses, base_losses
from workers.engine.preparation import Preparation
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change
from workers.engine.teachers import Teachers, unremembered
from workers.engine.tokens import NO_LOSS, Tokens

# Steps stop short of what they aim at. So the labels' mean loss is aimed past the never-seen level by this factor …
PAST = 1.25
# … and new contents below the training level.
TAUGHT_SHARE = 0.6
# The old side of an edit, whose subject stays, weighs less than its new side.
OLD_SIDE_WEIGHT = 0.3
# Gradients of one instance that each target takes: a forward pass of three teachers, of the base and of the anchor.
TARGET_COST = 5 / 3


@dataclass(frozen=True, slots=True)
class Aims:
    """What is to be forgotten and what is to be known. Of the `removed`, which are forgotten without anything in their
    place, the mean loss `before`, and as if they had `never_seen` training; None where nothing is removed."""

    forgotten: Sequence[Forgotten]
    taught: Sequence[Taught]
    removed: Sequence[Tokens] = ()
    before: float | None = None
    never_seen: float | None = None

    @property
    def every(self) -> list[Aim]:
        return [*self.forgotten, *self.taught]


def aims_of(
    resident: Resident, preparation: Preparation, teachers: Teachers, changes: Sequence[Change], anchor: Tensor
) -> Aims:
    """Taught: the new side of every edit. Forgotten: the old side of every change, but for corrections, whose new
    side answers the same question and takes the place of the old.

    Costs the teachers' passes and two more of each old side. Leaves any weights in the resident.
    """
    level = TAUGHT_SHARE * preparation.training_level
    taught = [Taught(change.new, level) for change in changes if change.new is not None]
    forgotten = [change for change in changes if change.new is None or _prompt(change.old) != _prompt(change.new)]
    if not forgotten:
        return Aims((), taught)
    old = [change.old for change in forgotten]
    predicted = teachers.predict(resident, forgotten)
    resident.parameters.set(anchor)
    losses, base = adapter_losses(resident, old), base_losses(resident, old)
    before, never_seen = float(losses.mean()), expected_loss(base, preparation.never_seen)
    goal = before + PAST * max(0.0, never_seen - before)
    targets = unremembered(old, predicted, goal, resident.pad_id)
    removed = torch.tensor([change.new is None for change in forgotten])
    aims = [
        Forgotten(tokens, target, 1.0 if whole else OLD_SIDE_WEIGHT)
        for tokens, target, whole in zip(old, targets, removed.tolist(), strict=True)
    ]
    if not removed.any():
        return Aims(aims, taught)
    return Aims(
        aims,
        taught,
        removed=[one.tokens for one, whole in zip(aims, removed.tolist(), strict=True) if whole],
        before=float(losses[removed].mean()),
        never_seen=expected_loss(base[removed], preparation.never_seen),
    )


def _prompt(tokens: Tokens) -> tuple[int, ...]:
    """Everything before the first label."""
    return tokens.ids[: next(index for index, label in enumerate(tokens.labels) if label != NO_LOSS)]
