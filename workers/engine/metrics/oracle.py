"""What can be said only where there is an oracle, an adapter really trained without the forgotten: pure functions.

`forget_quality` is not "p > 0.05, so forgotten": with few instances no p is small, whatever the model remembers. It
states the distance, and beside the p-value the smallest that so many instances could have given.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from workers.engine.metrics.membership import membership_auc


@dataclass(frozen=True, slots=True)
class ForgetQuality:
    """Two-sample Kolmogorov–Smirnov: `distance` D, its `p`, and the `smallest_p` that n and m values can give."""

    distance: float
    p: float
    smallest_p: float


def forget_quality(unlearned: Sequence[float], oracle: Sequence[float]) -> ForgetQuality:
    """Of an instance's score under the unlearned and under the oracle adapter (TOFU, arXiv:2401.06121)."""
    n, m = len(unlearned), len(oracle)
    distance = ks_distance(unlearned, oracle)
    return ForgetQuality(distance, ks_p(distance, n, m), smallest_p(n, m))


def ks_distance(one: Sequence[float], other: Sequence[float]) -> float:
    """D = sup |F₁ − F₂| of two empirical distributions."""
    return max(
        abs(sum(x <= value for x in one) / len(one) - sum(x <= value for x in other) / len(other))
        for value in {*one, *other}
    )


def ks_p(distance: float, n: int, m: int) -> float:
    """P(D ≥ distance) exactly, were both samples from one continuous distribution; with ties it is too large.

    Counts lattice paths from (0, 0) to (n, m) that stay nearer to the diagonal (Hodges, Ark. Mat. 3, 1958), as shares
    of all that lead to a point, so that no number grows large. Costs n·m steps.
    """
    inside = [0.0] * (m + 1)
    for i in range(n + 1):
        for j in range(m + 1):
            # Of all orders of i and j values, i/(i + j) have one of the first sample last.
            arrived = 1.0 if i + j == 0 else 0.0
            if i:
                arrived += inside[j] * i / (i + j)
            if j:
                arrived += inside[j - 1] * j / (i + j)
            inside[j] = arrived if abs(i / n - j / m) < distance - 1e-12 else 0.0
    return min(1.0, max(0.0, 1.0 - inside[m]))


def smallest_p(n: int, m: int) -> float:
    """P(D = 1) = 2 / C(n + m, n): the p of two samples that do not overlap at all."""
    return min(1.0, 2 / math.comb(n + m, n))


def priv_leak(forgotten: Tensor, unseen: Tensor, oracle_forgotten: Tensor, oracle_unseen: Tensor) -> float | None:
    """PrivLeak, per cent: 100 (A − A_oracle) / A_oracle with A = P(s_forgotten > s_never-seen), s Min-40 %.

    Below 0 too little was forgotten, above 0 too much; ±5 is MUSE's band (arXiv:2407.06460). The oracle's
    scores must be there: an AUC of 0.5 in their place would be a guess. None where the oracle's A is zero.
    """
    ours, oracle = 1 - membership_auc(forgotten, unseen), 1 - membership_auc(oracle_forgotten, oracle_unseen)
    return 100 * (ours - oracle) / oracle if oracle > 0 else None
