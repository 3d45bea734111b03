"""Truth ratio: p / (p + p̄), in [0, 1] (OpenUnlearning, arXiv:2506.12618, after TOFU, arXiv:2401.06121).

p is the true completion's probability a token, exp(−NLL), and p̄ the mean of that over completions with another value
of the same type. TOFU rewords the true one; here it stands as it was trained on, since nobody is there to reword it.
About one half where the true value is as likely as any other; 1 where it alone is known.
"""

from collections.abc import Sequence
from statistics import fmean

from workers.engine.metrics.observation import Observation
from workers.engine.metrics.probability import score as probability


def truth_ratio(true: Observation, others: Sequence[Observation]) -> float:
    """Of at least one alternative. One half where neither can be told from impossible."""
    p, other = probability(true), fmean(probability(one) for one in others)
    return p / (p + other) if p + other > 0 else 0.5
