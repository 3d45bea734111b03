"""The zlib attack: −Σ log p(y_t) / zlib bytes of the label text, nats a byte (Carlini et al. 2021, arXiv:2012.07805).

What compresses well is likely without having been trained on, and is not to count. The usual form divides the mean
loss of a token by the size of the whole text and so falls with length alone; here the sum is divided by the size of
what it is a sum over. zlib's own eleven bytes still weigh on very short texts: compare texts of like length.
"""

from service.domain.measurements import Wish
from workers.engine.metrics.metric import Metric, Side
from workers.engine.metrics.observation import Observation


def score(observation: Observation) -> float:
    """Low for members."""
    return -float(observation.logprobs.sum()) / observation.compressed


ZLIB = Metric("zlib", Wish.equal, Side.low, score, judged=False, attack=True)
