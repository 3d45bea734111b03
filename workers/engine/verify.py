"""Tier 1 verification: what one forward pass over four groups can tell, before and after the update.

The verdict has three values. `None` (inconclusive) where nothing never-seen is there to compare with,
or so few instances were forgotten that a pass would mean nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from service.domain.engine import Losses
from workers.engine.never_seen import NeverSeenLevel
from workers.engine.predictions import shift
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens

# Share of the way from the anchor's loss to the never-seen level that counts as forgotten, and as too far.
ENOUGH, TOO_FAR = 0.75, 1.5
# Retained loss may rise by this share of what memorising is worth (never-seen minus training level), …
RETAINED_RISE = 0.10
# … and a correction must have come this share of its way to the training level.
CORRECTED = 0.75
FEWEST = 3


@dataclass(frozen=True, slots=True)
class Groups:
    """Tokens of the groups that are measured."""

    forget: Sequence[Tokens]
    corrected: Sequence[Tokens]
    retained: Sequence[Tokens]
    holdout: Sequence[Tokens]


@dataclass(frozen=True, slots=True)
class Verification:
    """Mean losses before and after, KL(before ‖ after) on retained instances, the verdict and its reasons."""

    before: Losses
    after: Losses
    retained_kl: float
    passed: bool | None
    reasons: tuple[str, ...]


def verify(
    resident: Resident,
    groups: Groups,
    before: Tensor,
    after: Tensor,
    *,
    goal: float | None,
    never_seen: NeverSeenLevel | None,
    noise: float,
    training_level: float,
) -> Verification:
    """Measures and judges. `goal` is the mean loss that the forgotten instances should reach, `noise` its standard
    error.

    Costs two forward passes of every instance in the groups. Memory: the activations of a micro-batch.
    """
    shifts = [
        shift(resident, group, before, after) if group else None
        for group in (groups.forget, groups.corrected, groups.retained, groups.holdout)
    ]
    was = Losses(*(found.before if found else None for found in shifts))
    now = Losses(*(found.after if found else None for found in shifts))
    uncalibrated = never_seen is None
    passed, reasons = judge(was, now, len(groups.forget), goal, noise, training_level, uncalibrated=uncalibrated)
    return Verification(was, now, shifts[2].divergence if shifts[2] else 0.0, passed, reasons)


def judge(
    was: Losses,
    now: Losses,
    forgotten: int,
    goal: float | None,
    noise: float,
    training_level: float,
    *,
    uncalibrated: bool,
) -> tuple[bool | None, tuple[str, ...]]:
    """The verdict on measured losses, with its reasons in words."""
    failures: list[str] = []
    doubts: list[str] = []
    if uncalibrated:
        doubts.append("The line has no never-seen instances, so no loss level shows what forgotten means.")
    elif goal is not None and was.forget is not None and now.forget is not None:
        failed, text = _forgotten(was.forget, now.forget, forgotten, goal, noise)
        (failures if failed else doubts).extend([text] if text else [])
    if not uncalibrated and was.holdout is not None and was.retained is not None and now.retained is not None:
        worth = max(was.holdout - training_level, 0.0)
        if now.retained - was.retained > RETAINED_RISE * worth:
            failures.append(f"Retained loss rose from {was.retained:.3f} to {now.retained:.3f}.")
    if was.corrected is not None and now.corrected is not None and was.corrected > training_level:
        way = (was.corrected - now.corrected) / (was.corrected - training_level)
        if way < CORRECTED:
            failures.append(f"Corrected instances went {way:.0%} of the way to the training loss level.")
    if failures:
        return False, tuple(failures + doubts)
    return (None, tuple(doubts)) if doubts else (True, ())


def _forgotten(was: float, now: float, count: int, goal: float, noise: float) -> tuple[bool, str]:
    """Whether the forgotten failed, and why, or why it cannot be told; no words where they passed.

    A miss within the noise of never-seen losses is no failure, and a way within it is none to go.
    """
    if goal - was <= noise:
        text = f"Forgotten instances were no better known than never-seen ones before: {was:.3f} against {goal:.3f}"
        if now > max(was, goal) + noise:
            return True, f"{text}, and rose to {now:.3f}."
        return False, f"{text}."
    way = (now - was) / (goal - was)
    text = f"Forgotten instances went {way:.0%} of the way to the never-seen loss level"
    if not ENOUGH <= way <= TOO_FAR:
        if abs(goal - now) > noise:
            return True, f"{text}; {ENOUGH:.0%} to {TOO_FAR:.0%} is required."
        return False, f"{text}; {ENOUGH:.0%} to {TOO_FAR:.0%} is required, but {count} of them are too few to tell."
    return False, f"{text}, but {count} of them is too few to tell." if count < FEWEST else ""
