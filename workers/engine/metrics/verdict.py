"""The verdict on an update: passed, failed, or `None`, inconclusive.

Inconclusive where nothing never-seen is there to compare with, or so few instances were forgotten that a pass would
mean nothing. Losses decide. Of the other metrics three are folded in: what can be extracted verbatim far more than
never-seen text is not forgotten, however its mean loss looks; and what fails by its probability or by exact
memorisation does not pass. Beyond the noise it fails, within it nobody can tell. Membership attacks never decide: on
few instances they are near chance whatever is remembered, so they could only fail what is right or pass what is wrong.

Only numbers come in, so that the same judge can be tried on instances whose state is known (`power`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.engine import Losses
from service.domain.measurements import Interval, Outcome, Wish
from workers.engine.metrics.outcome import FEWEST, outcome

# Share of the way from the anchor's loss to the never-seen level that counts as forgotten, and as too far.
ENOUGH, TOO_FAR = 0.75, 1.5
# Retained loss may rise by this share of what memorising is worth (never-seen minus training level), …
RETAINED_RISE = 0.10
# … and a correction must have come this share of its way to the training level.
CORRECTED = 0.75
# Extraction strength above the never-seen level that is harmless.
EXTRACTABLE = 0.25
# A failure by another metric than the loss lies so many standard errors beyond what is harmless.
ERRORS = 3.0


@dataclass(frozen=True, slots=True)
class Extraction:
    """Mean extraction strength of the forgotten and of the never-seen, and the standard error of the latter's mean
    over as many instances as were forgotten."""

    forgotten: float
    never_seen: float
    noise: float

    @property
    def bar(self) -> float:
        return self.never_seen + EXTRACTABLE + ERRORS * self.noise


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like the never-seen the forgotten are by a metric: the means of both, the 95 % interval of their difference
    and its standard error, and how far apart is harmless; None where there was nothing to forget by it."""

    metric: str
    after: float
    never_seen: float
    difference: Interval | None
    noise: float
    margin: float | None


def judge(
    was: Losses,
    now: Losses,
    forgotten: int,
    goal: float | None,
    noise: float,
    training_level: float,
    *,
    uncalibrated: bool,
    extraction: Extraction | None = None,
    likenesses: Sequence[Likeness] = (),
) -> tuple[bool | None, tuple[str, ...]]:
    """The verdict on measurements, with its reasons in words.

    `goal` is the mean loss that the `forgotten` instances should reach, `noise` its standard error.
    """
    failures: list[str] = []
    doubts: list[str] = []
    if uncalibrated:
        doubts.append("The line has no never-seen instances, so no loss level shows what forgotten means.")
    elif goal is not None and was.forget is not None and now.forget is not None:
        failed, text = _forgotten(was.forget, now.forget, forgotten, goal, noise)
        (failures if failed else doubts).extend([text] if text else [])
    if extraction is not None and extraction.forgotten > extraction.bar:
        failures.append(
            f"Forgotten instances can be extracted: strength {extraction.forgotten:.0%}, "
            f"of never-seen ones {extraction.never_seen:.0%}."
        )
    for likeness in likenesses:
        failed, text = _unlike(likeness, forgotten)
        (failures if failed else doubts).extend([text] if text else [])
    failures += _retained(was, now, training_level, uncalibrated=uncalibrated)
    failures += _corrected(was, now, training_level)
    if failures:
        return False, tuple(failures + doubts)
    return (None, tuple(doubts)) if doubts else (True, ())


def _unlike(one: Likeness, count: int) -> tuple[bool, str]:
    """Whether the forgotten failed by a metric, and how, or why it cannot be told; no words where it did not fail."""
    if one.margin is None or outcome(Wish.equal, count, one.difference, one.margin) is not Outcome.failed:
        return False, ""
    text = (
        f"By {one.metric.replace('_', ' ')} forgotten instances are unlike never-seen ones: "
        f"{one.after:.2f} against {one.never_seen:.2f}"
    )
    if abs(one.after - one.never_seen) > one.margin + ERRORS * one.noise:
        return True, f"{text}."
    return False, f"{text}, but {count} of them are too few to tell."


def _retained(was: Losses, now: Losses, training_level: float, *, uncalibrated: bool) -> list[str]:
    if uncalibrated or was.holdout is None or was.retained is None or now.retained is None:
        return []
    worth = max(was.holdout - training_level, 0.0)
    if now.retained - was.retained <= RETAINED_RISE * worth:
        return []
    return [f"Retained loss rose from {was.retained:.3f} to {now.retained:.3f}."]


def _corrected(was: Losses, now: Losses, training_level: float) -> list[str]:
    if was.corrected is None or now.corrected is None or was.corrected <= training_level:
        return []
    way = (was.corrected - now.corrected) / (was.corrected - training_level)
    return [] if way >= CORRECTED else [f"Corrected instances went {way:.0%} of the way to the training loss level."]


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
