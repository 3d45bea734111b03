"""Groups observed by hand: losses normally spread about a level."""

from collections.abc import Sequence

import numpy as np

from tests.workers.engine.metrics.observations import with_loss
from workers.engine.metrics.groups import Observed
from workers.engine.metrics.observation import Moved, Observation


def spread(
    n: int, level: float, deviation: float = 0.2, *, seed: int = 0, strength: float = 0.0, base: float | None = 3.0
) -> list[Observation]:
    """n instances whose losses scatter about a level."""
    losses = np.random.default_rng([seed, n]).normal(level, deviation, n)
    return [with_loss(max(0.0, float(loss)), strength=strength, base=base) for loss in losses]


def line(
    forget_after: Sequence[Observation],
    *,
    unseen: Sequence[Observation] | None = None,
    retained_after: Sequence[Observation] | None = None,
    corrected: Moved | None = None,
) -> Observed:
    """A line that knows its data at a loss of 0.2, and never-seen instances at 2."""
    holdout = spread(60, 2.0, seed=1) if unseen is None else unseen
    retained = spread(60, 0.2, 0.05, seed=2, strength=1.0)
    after = retained if retained_after is None else retained_after
    return Observed(
        forget=Moved(spread(len(forget_after), 0.2, 0.05, seed=3, strength=1.0), forget_after, ()),
        corrected=corrected or Moved((), (), ()),
        retained=Moved(retained, after, [0.01] * len(after)),
        holdout=Moved(holdout, holdout, ()),
    )
