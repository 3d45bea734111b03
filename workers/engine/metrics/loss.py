"""The loss: NLL = −(1/T) Σ log p(y_t | x, y_<t), nats a label token.

As an attack: the lower, the more likely a member (Yeom et al. 2018, arXiv:1709.01604, section 3).
"""

from service.domain.measurements import Wish
from workers.engine.metrics.metric import Metric, Side
from workers.engine.metrics.observation import Observation


def score(observation: Observation) -> float:
    """Mean over the label tokens and nothing else: neither prompt nor padding carries a loss."""
    return observation.nll


LOSS = Metric("loss", Wish.equal, Side.low, score, attack=True)
