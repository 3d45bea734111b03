"""How like the never-seen the forgotten are by the metrics beside the loss that have a say in the verdict.

Probability and exact memorisation: what is still likely, or still guessed token by token, was not forgotten, and what
is less so than never-seen text was over-forgotten, however the mean loss looks.
"""

from collections.abc import Sequence

import numpy as np

from workers.engine.metrics.exact_memorisation import EXACT_MEMORISATION
from workers.engine.metrics.intervals import NORMAL, Values, standard_error, unpaired
from workers.engine.metrics.metric import Metric
from workers.engine.metrics.observation import Observation
from workers.engine.metrics.probability import PROBABILITY
from workers.engine.metrics.verdict import ENOUGH, Likeness

WITH_A_SAY: tuple[Metric, ...] = (PROBABILITY, EXACT_MEMORISATION)
# How far from the never-seen value is harmless, as a share of the way there from the value before.
MARGIN = 1 - ENOUGH


def likenesses(
    before: Sequence[Observation], after: Sequence[Observation], unseen: Sequence[Observation]
) -> list[Likeness]:
    """Of the forgotten, before and after, to the never-seen after; nothing without either."""
    if not after or not unseen:
        return []
    return [_likeness(metric, before, after, unseen) for metric in WITH_A_SAY]


def harmless(was: float, unseen: Sequence[float] | Values, n: int, share: float = MARGIN) -> float | None:
    """A share of the way from `was` to the never-seen scores' mean; None where that is within the noise of n of them:
    then there is no way to measure."""
    scores = np.asarray(unseen, dtype=np.float64)
    if not len(scores):
        return None
    way = abs(float(scores.mean()) - was)
    return None if way <= NORMAL * float(scores.std()) / n**0.5 else way * share


def _likeness(
    metric: Metric, before: Sequence[Observation], after: Sequence[Observation], unseen: Sequence[Observation]
) -> Likeness:
    was, now, theirs = (np.array([metric.score(one) for one in group]) for group in (before, after, unseen))
    return Likeness(
        metric=metric.name,
        after=float(now.mean()),
        never_seen=float(theirs.mean()),
        difference=unpaired(now.tolist(), theirs.tolist()),
        noise=standard_error(now, theirs),
        margin=harmless(float(was.mean()), theirs, len(now)),
    )
