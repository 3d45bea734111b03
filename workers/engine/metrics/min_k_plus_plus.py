"""Min-K %++: −mean of the lowest K % of z_t = (log p(y_t) − μ_t) / σ_t (Zhang et al. 2025, arXiv:2404.02936).

μ_t and σ_t are mean and standard deviation of log p(v) when v is drawn from the prediction at t: a token counts by how
likely it is among what could have stood there, not by itself. K = 40, as for Min-K %. No unit.
"""

from service.domain.measurements import Wish
from workers.engine.metrics.metric import Metric, Side
from workers.engine.metrics.min_k import mean_of_lowest
from workers.engine.metrics.observation import Observation

# A prediction all but certain of one token has next to no spread; z is then a large number, but a finite one.
LEAST_DEVIATION = 1e-4


def score(observation: Observation) -> float:
    """Low for members."""
    spread = observation.deviation.clamp(min=LEAST_DEVIATION)
    return -mean_of_lowest((observation.logprobs - observation.mean) / spread)


MIN_K_PLUS_PLUS = Metric("min_k_plus_plus", Wish.equal, Side.low, score, judged=False, attack=True)
