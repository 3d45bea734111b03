"""Min-K %: the mean of −log p over the K % least likely label tokens, nats (Shi et al. 2024, arXiv:2310.16789).

A text that was trained on has few tokens that surprise. K = 40, as MUSE and OpenUnlearning have it; the paper uses 20.
"""

import math

from torch import Tensor

from service.domain.measurements import Wish
from workers.engine.metrics.metric import Metric, Side
from workers.engine.metrics.observation import Observation

SHARE = 0.4


def score(observation: Observation) -> float:
    """Low for members."""
    return -mean_of_lowest(observation.logprobs)


def mean_of_lowest(values: Tensor, share: float = SHARE) -> float:
    """The mean of the lowest `share` of values [T]: ⌊share · T⌋ of them, and at least one."""
    # 0.4 · 5 is 2, and must not come to 1 by rounding.
    count = max(1, math.floor(share * len(values) + 1e-9))
    return float(values.sort().values[:count].mean())


MIN_K = Metric("min_k", Wish.equal, Side.low, score, judged=False, attack=True)
