"""Can an onlooker tell, from a score alone, that something was once trained on?

AUC = P(s_forgotten < s_never-seen), ties counting half (Mann–Whitney): 1 is clearly a member, 0.5 chance, and less
than that over-forgotten. A score must be low for members.
"""

import math

from torch import Tensor

from service.domain.measurements import Interval
from workers.engine.metrics.intervals import NORMAL

CHANCE = 0.5


def membership_auc(members: Tensor, unseen: Tensor) -> float:
    """How often a member [m] scores lower than one never seen [n], ties counting half. Memory: m·n bytes.

    With losses for scores it is the plain loss attack (Yeom et al. 2018, arXiv:1709.01604, section 3).
    """
    lower = (members[:, None] < unseen).double().mean()
    ties = (members[:, None] == unseen).double().mean()
    return float(lower + ties / 2)


def from_chance(auc: float, members: int, unseen: int) -> Interval:
    """The interval of AUC − 0.5, as wide as without any effect: ±1.96 √((m + n + 1) / 12mn).

    Mann & Whitney 1947. One member among a hundred: ±0.57, so that nothing can be said about one instance.
    """
    half = NORMAL * math.sqrt((members + unseen + 1) / (12 * members * unseen))
    return Interval(max(-CHANCE, auc - CHANCE - half), min(CHANCE, auc - CHANCE + half))
