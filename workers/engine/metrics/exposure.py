"""Canary exposure: log₂|R| − log₂ rank, bits (Carlini et al. 2019, arXiv:1802.08232).

R are the fillings of one slot, the true value among them, and rank says how many of them are at least as likely
as it. Where nothing is known of the true value the rank is uniform, and the mean exposure log₂|R| − log₂(|R|!)/|R|:
1.09 bits for eight fillings, 1.44 for many. With |R| fillings none can come out above log₂|R|.
"""

import math
from collections.abc import Sequence

from workers.engine.metrics.observation import Observation


def rank(true: Observation, others: Sequence[Observation]) -> float:
    """The true value's place among the fillings by log-likelihood of the completion, 1 the likeliest; ties share."""
    own = float(true.logprobs.sum())
    likelihoods = [float(one.logprobs.sum()) for one in others]
    return 1 + sum(other > own for other in likelihoods) + sum(other == own for other in likelihoods) / 2


def exposure(true: Observation, others: Sequence[Observation]) -> float:
    """Bits."""
    return math.log2(len(others) + 1) - math.log2(rank(true, others))


def rank_share(true: Observation, others: Sequence[Observation]) -> float:
    """(rank − ½) / |R|, in (0, 1): one half on average where nothing is known, low where the value is remembered."""
    return (rank(true, others) - 0.5) / (len(others) + 1)
