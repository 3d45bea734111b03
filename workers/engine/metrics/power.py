"""What the verdict is worth on this line: the judge of requests, tried on instances whose state is known.

Known: retained instances before the update, as if they were the forgotten after one. A pass is a false pass.
Never-seen: sham requests, holdout instances in the forgotten's place, against the other holdout instances. A failure
is a false alarm. In either the loss before is the mean of what is known: a request's own instances, still known, would
be told by not having moved at all, which no attacker sees and no test should lean on.

Everything comes from observations already made; no instance passes through the model again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from service.domain.engine import Losses
from service.domain.measurements import Interval, Power
from workers.engine.metrics.extraction_strength import EXTRACTION_STRENGTH
from workers.engine.metrics.intervals import NORMAL, Values, standard_error
from workers.engine.metrics.likeness import WITH_A_SAY, harmless
from workers.engine.metrics.loss import LOSS
from workers.engine.metrics.observation import Observation
from workers.engine.metrics.verdict import Extraction, Likeness, judge
from workers.engine.never_seen import NeverSeenLevel

SIZES = (1, 5, 20, 100)
DRAWS = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """Losses and extraction strengths [n] of instances, their scores [n] by the other metrics that have a say, and the
    bare base's losses [n] where they are known."""

    losses: Values
    strengths: Values
    scores: Mapping[str, Values]
    base: Values | None = None

    @classmethod
    def of(cls, observed: Sequence[Observation]) -> "Sample":
        bases = [one.base_loss for one in observed if one.base_loss is not None]
        return cls(
            np.array([LOSS.score(one) for one in observed]),
            np.array([EXTRACTION_STRENGTH.score(one) for one in observed]),
            {metric.name: np.array([metric.score(one) for one in observed]) for metric in WITH_A_SAY},
            np.array(bases) if len(bases) == len(observed) else None,
        )

    def __len__(self) -> int:
        return len(self.losses)

    def at(self, chosen: NDArray[np.int64]) -> "Sample":
        return Sample(
            self.losses[chosen],
            self.strengths[chosen],
            {name: values[chosen] for name, values in self.scores.items()},
            None if self.base is None else self.base[chosen],
        )


def power(known: Sample, unseen: Sample, training_level: float, requested: int) -> tuple[list[Power], dict[str, str]]:
    """Of requests of so many instances, and of the usual sizes; and which sizes could not be tried, and why.

    A size is tried where there are twice as many instances of either kind, so that draws differ.
    """
    sizes = sorted({requested, *SIZES} - {0})
    fewer = min(len(known), len(unseen))
    reason = f"It takes twice as many retained and never-seen instances; there are {len(known)} and {len(unseen)}."
    tried = [n for n in sizes if 2 * n <= fewer]
    found = [_power(known, unseen, training_level, n) for n in tried]
    return found, {f"power at {n}": reason for n in sizes if n not in tried}


def _power(known: Sample, unseen: Sample, training_level: float, n: int) -> Power:
    generator = np.random.default_rng([len(known), len(unseen), n])
    level = _Level.of(unseen)
    of_known, of_unseen = list[bool | None](), list[bool | None]()
    for _ in range(DRAWS):
        drawn = known.at(generator.permutation(len(known))[:n])
        of_known.append(_verdict(known, drawn, level, training_level))
        order = generator.permutation(len(unseen))
        of_unseen.append(_verdict(known, unseen.at(order[:n]), _Level.of(unseen.at(order[n:])), training_level))
    return Power(
        n=n,
        draws=DRAWS,
        false_pass=of_known.count(True) / DRAWS,
        false_alarm=of_unseen.count(False) / DRAWS,
        undecided_known=of_known.count(None) / DRAWS,
        undecided_never_seen=of_unseen.count(None) / DRAWS,
    )


@dataclass(frozen=True, slots=True)
class _Level:
    """What never-seen instances are like, from some of them."""

    loss: NeverSeenLevel
    base: float
    strength: float
    strength_deviation: float
    scores: Mapping[str, Values]

    @classmethod
    def of(cls, unseen: Sample) -> "_Level":
        base = np.zeros(len(unseen)) if unseen.base is None else unseen.base
        fitted = NeverSeenLevel.fit(torch.from_numpy(base), torch.from_numpy(unseen.losses))
        strengths = unseen.strengths
        return cls(fitted, float(base.mean()), float(strengths.mean()), float(strengths.std()), unseen.scores)


def _verdict(known: Sample, drawn: Sample, level: _Level, training_level: float) -> bool | None:
    """The base's losses of known instances are not measured; they are taken to be as hard as the never-seen."""
    base = level.base if drawn.base is None else float(drawn.base.mean())
    was = float(known.losses.mean())
    goal = max(was, level.loss.mean(torch.tensor([base])))
    error = len(drawn) ** -0.5
    passed, _ = judge(
        Losses(was, None, None, None),
        Losses(float(drawn.losses.mean()), None, None, None),
        len(drawn),
        goal,
        level.loss.deviation * error,
        training_level,
        uncalibrated=False,
        extraction=Extraction(float(drawn.strengths.mean()), level.strength, level.strength_deviation * error),
        likenesses=[_likeness(name, known, drawn, level) for name in drawn.scores],
    )
    return passed


def _likeness(metric: str, known: Sample, drawn: Sample, level: _Level) -> Likeness:
    """By the normal interval: a bootstrap a draw would take seconds."""
    ours, theirs = drawn.scores[metric], level.scores[metric]
    after, never_seen, noise = float(ours.mean()), float(theirs.mean()), standard_error(ours, theirs)
    gap, half = after - never_seen, NORMAL * noise
    margin = harmless(float(known.scores[metric].mean()), theirs, len(ours))
    return Likeness(metric, after, never_seen, Interval(gap - half, gap + half), noise, margin)
