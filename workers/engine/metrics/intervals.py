"""95 % intervals: seeded bootstraps of means and of their differences, and an exact one for proportions.

Percentile bootstrap (Efron & Tibshirani 1993, chapter 13), widened for small samples as Hesterberg 2015
(arXiv:1411.5279) has it: resampling n values underestimates their spread by √((n − 1)/n), and a normal quantile stands
where Student's should.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.domain.measurements import Interval

Values: TypeAlias = NDArray[np.float64]

# With fewer values there is no spread to speak of.
FEWEST = 3
# Below this many, a group's own spread is too uncertain: the larger of its own and the reference's stands in.
FEW = 10
DRAWS = 1000
NORMAL = 1.959964
TAIL = 0.025
# The mean of more values than this is drawn from its normal limit: a thousand resamples would take too much memory.
MANY = 4096
BISECTIONS = 60


def paired(before: Sequence[float], after: Sequence[float]) -> Interval | None:
    """Of mean(after − before) of the same instances; None for fewer than three."""
    return of_mean(np.subtract(after, before))


def of_mean(values: Sequence[float] | Values, reference: float = 0.0) -> Interval | None:
    """Of mean(values) − a reference that is known; None for fewer than three."""
    found = np.asarray(values, dtype=np.float64)
    if len(found) < FEWEST:
        return None
    centre = float(found.mean())
    return _interval(centre - reference, _resampled(found - centre, len(found)), len(found))


def unpaired(group: Sequence[float], reference: Sequence[float]) -> Interval | None:
    """Of mean(group) − mean(reference), which are different instances; None for fewer than three references.

    A small group is taken to spread at least as the reference does: one value alone would seem to have no spread.
    """
    ours, theirs = np.asarray(group, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if not len(ours) or len(theirs) < FEWEST:
        return None
    spread, other = _spreads(ours, theirs)
    noise = _resampled(spread, len(ours), seed=1) - _resampled(other, len(theirs))
    return _interval(float(ours.mean() - theirs.mean()), noise, min(len(spread), len(theirs)))


def standard_error(group: Values, reference: Values) -> float:
    """Of mean(group) − mean(reference), neither of them empty; the group spreads as `unpaired` takes it to."""
    spread, other = _spreads(group, reference)
    return math.hypot(float(spread.std()) / math.sqrt(len(group)), float(other.std()) / math.sqrt(len(reference)))


def proportion(successes: int, n: int) -> Interval:
    """Of a proportion, exactly: never covers less than 95 % (Clopper & Pearson, Biometrika 26, 1934)."""

    k = np.arange(n + 1)
    ways = np.array([math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(n + 1)])

    def chances(p: float) -> Values:
        found: Values = np.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))
        return found

    low = 0.0 if successes == 0 else _root(lambda p: float(chances(p)[successes:].sum()) - TAIL)
    high = 1.0 if successes == n else _root(lambda p: TAIL - float(chances(p)[: successes + 1].sum()))
    return Interval(low, high)


def _spreads(group: Values, reference: Values) -> tuple[Values, Values]:
    """Deviations from the means that either group is taken to have."""
    own, other = group - group.mean(), reference - reference.mean()
    return (own if len(group) >= FEW or own.std() > other.std() else other), other


def _resampled(deviations: Values, n: int, seed: int = 0) -> Values:
    """Means [DRAWS] of n deviations drawn with replacement."""
    generator = np.random.default_rng([seed, n])
    if n > MANY:
        limit: Values = generator.normal(0.0, float(deviations.std()) / math.sqrt(n), DRAWS)
        return limit
    drawn = generator.integers(len(deviations), size=(DRAWS, n))
    means: Values = deviations[drawn].mean(axis=1)
    return means


def _interval(centre: float, noise: Values, n: int) -> Interval:
    low, high = np.quantile(noise, (TAIL, 1 - TAIL)) * _widening(n)
    return Interval(centre + float(low), centre + float(high))


def _widening(n: int) -> float:
    """√(n/(n − 1)) · t/z, with Student's quantile t at n − 1 degrees of freedom (Abramowitz & Stegun 26.7.5)."""
    z, freedom = NORMAL, n - 1
    t = (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
    return math.sqrt(n / freedom) * t / z


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function on [0, 1] crosses zero."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
