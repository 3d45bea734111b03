"""The probability a token: exp(−NLL) = p(y | x)^(1/T), in [0, 1] (TOFU, arXiv:2401.06121)."""

import math

from service.domain.measurements import Wish
from workers.engine.metrics.metric import Metric, Side
from workers.engine.metrics.observation import Observation


def score(observation: Observation) -> float:
    """The geometric mean of the label tokens' probabilities: answers of different length compare."""
    return min(1.0, math.exp(-observation.nll))


PROBABILITY = Metric("probability", Wish.equal, Side.high, score)
