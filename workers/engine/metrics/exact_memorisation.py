"""Exact memorisation: (1/T) Σ 1[y_t = argmax p(· | x, y_<t)], in [0, 1] (Tirumala et al. 2022, arXiv:2205.10770).

A model that never saw a text still guesses many of its tokens, so what is wished is the never-seen value, not 0.
"""

from service.domain.measurements import Wish
from workers.engine.metrics.metric import Metric, Side
from workers.engine.metrics.observation import Observation


def score(observation: Observation) -> float:
    """The share of the label tokens that are the likeliest."""
    return float(observation.correct.double().mean())


EXACT_MEMORISATION = Metric("exact_memorisation", Wish.equal, Side.high, score)
