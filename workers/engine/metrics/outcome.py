"""The one rule by which a measurement passes: an equivalence test (Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987).

| the 95 % interval of after − reference       | equal        | not_above    | not_below    |
|----------------------------------------------|--------------|--------------|--------------|
| lies within ±margin                          | passed       | passed       | passed       |
| lies above +margin                           | failed       | failed       | passed       |
| lies below −margin                           | failed       | passed       | failed       |
| reaches across +margin only                  | inconclusive | inconclusive | passed       |
| reaches across −margin only                  | inconclusive | passed       | inconclusive |
| reaches across both, or there is none        | inconclusive | inconclusive | inconclusive |

An `equal` that fails on the side where nothing is remembered is over-forgetting: it marks what was erased.
"""

from service.domain.measurements import Interval, Outcome, Wish

# Fewer instances never pass.
FEWEST = 3


def outcome(wish: Wish, n: int, difference: Interval | None, margin: float | None) -> Outcome:
    """The outcome of a measurement on n instances. A failure on few instances is still a failure."""
    if difference is None or margin is None:
        return Outcome.inconclusive
    above, below = wish is not Wish.not_below, wish is not Wish.not_above
    if (above and difference.low > margin) or (below and difference.high < -margin):
        return Outcome.failed
    if (above and difference.high > margin) or (below and difference.low < -margin):
        return Outcome.inconclusive
    return Outcome.passed if n >= FEWEST else Outcome.inconclusive
