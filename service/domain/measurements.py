"""What a verification measured and how sure that is: one `Measurement` for every metric and group of instances.

A measurement is never "not significant, so forgotten". It states the difference from what never-seen instances give,
with its interval, and passes only where the whole interval lies within a margin (an equivalence test:
Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987). Where the interval is too wide to tell, the outcome says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Group(StrEnum):
    """Whose instances a number is about."""

    forgotten = "forgotten"
    corrected = "corrected"
    retained = "retained"
    never_seen = "never_seen"


class Wish(StrEnum):
    """Which way is good: as close to the reference as possible, or not above it, or not below it."""

    equal = "equal"
    not_above = "not_above"
    not_below = "not_below"


class Outcome(StrEnum):
    """`informative`: reported without a verdict."""

    passed = "passed"
    failed = "failed"
    inconclusive = "inconclusive"
    informative = "informative"


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric's mean over a group's `n` instances, before and after an update.

    `reference` is what `after` should come to: the never-seen instances' value, or the group's own `before` where
    nothing should change; None where there is none. `difference` is the interval of `after - reference`, and
    `margin` how far from zero is still harmless. `worst`: the instance's value that is farthest on the bad side.
    """

    metric: str
    group: Group
    n: int
    before: float | None
    after: float
    wish: Wish
    reference: float | None
    difference: Interval | None
    margin: float | None
    worst: float | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Distribution:
    """How a group's losses (nats a token) are spread: `counts` between consecutive `edges`, one count fewer."""

    group: Group
    before: bool
    edges: Sequence[float]
    counts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Power:
    """What the verdict is worth on `n` instances of this line.

    `false_pass`: share of draws of instances that are still known which passed nevertheless; `false_alarm`: share of
    draws of never-seen instances that failed; `undecided`: shares of either that were inconclusive.
    """

    n: int
    draws: int
    false_pass: float
    false_alarm: float
    undecided_known: float
    undecided_never_seen: float


@dataclass(frozen=True, slots=True)
class Verified:
    """Everything that one verification measured, and which tests were not run, by name, with the reason."""

    measurements: Sequence[Measurement] = ()
    distributions: Sequence[Distribution] = ()
    power: Sequence[Power] = ()
    not_run: dict[str, str] = field(default_factory=dict)
