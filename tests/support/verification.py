"""A verification as a run would report it, made by hand: every outcome, every group, one bar beyond the picture."""

import random
from collections.abc import Sequence
from itertools import pairwise

from service.domain.measurements import (
    Distribution,
    Group,
    Interval,
    Measurement,
    Outcome,
    Power,
    Verified,
    Wish,
)

EDGES = tuple(number * 0.25 for number in range(25))


def spread(group: Group, mean: float, width: float, n: int, *, before: bool) -> Distribution:
    """A histogram of `n` losses around a mean, the same on every call."""
    dice = random.Random(f"{group} {before}")
    losses = [min(max(dice.gauss(mean, width), 0.01), EDGES[-1] - 0.01) for _ in range(n)]
    counts = [sum(low <= loss < high for loss in losses) for low, high in pairwise(EDGES)]
    return Distribution(group, before, EDGES, counts)


def row(
    metric: str, group: Group, n: int, numbers: Sequence[float | None], wish: Wish, outcome: Outcome
) -> Measurement:
    """`numbers`: before, after, reference, low, high, margin, worst."""
    before, after, reference, low, high, margin, worst = numbers
    assert after is not None
    difference = None if low is None or high is None else Interval(low, high)
    return Measurement(metric, group, n, before, after, wish, reference, difference, margin, worst, outcome)


G, W, O = Group, Wish, Outcome  # noqa: E741 - the table below is read by columns

MEASUREMENTS = (
    row("loss", G.forgotten, 24, (0.31, 2.94, 3.02, -0.31, 0.15, 0.5, 1.62), W.equal, O.passed),
    row("extraction_strength", G.forgotten, 24, (0.82, 0.09, 0.06, -0.01, 0.07, 0.1, 0.41), W.not_above, O.passed),
    row("membership_auc", G.forgotten, 24, (0.99, 0.58, 0.5, -0.04, 0.2, 0.1, None), W.equal, O.inconclusive),
    row("min_k", G.forgotten, 24, (0.55, 4.9, 6.1, -1.9, -0.5, 0.3, 1.2), W.not_below, O.failed),
    row("loss", G.corrected, 3, (4.1, 0.9, 0.35, -0.2, 1.3, 0.4, 1.7), W.not_above, O.inconclusive),
    row("loss", G.retained, 200, (0.34, 0.36, 0.34, 0.01, 0.03, 0.1, 1.1), W.equal, O.passed),
    row("kl_from_before", G.retained, 200, (None, 0.0042, None, None, None, None, 0.31), W.not_above, O.informative),
    row("loss", G.never_seen, 60, (3.11, 3.02, None, None, None, None, 5.2), W.equal, O.informative),
)  # fmt: skip

VERIFIED = Verified(
    measurements=MEASUREMENTS,
    distributions=(
        spread(G.forgotten, 0.31, 0.2, 24, before=True),
        spread(G.forgotten, 2.94, 0.6, 24, before=False),
        spread(G.corrected, 4.1, 0.5, 3, before=True),
        spread(G.corrected, 0.9, 0.6, 3, before=False),
        spread(G.never_seen, 3.02, 0.7, 60, before=False),
        spread(G.retained, 0.34, 0.25, 200, before=True),
        spread(G.retained, 0.36, 0.25, 200, before=False),
    ),
    power=(
        Power(1, 1000, 0.0, 0.012, 0.88, 0.93),
        Power(4, 1000, 0.004, 0.021, 0.35, 0.6),
        Power(24, 1000, 0.0, 0.018, 0.02, 0.11),
    ),
    not_run={
        "relearning": "It takes minutes; the line's policy does not ask for it.",
        "quantised_artefact": "No quantised artefact was published.",
    },
)
