"""The reference attack: NLL_adapter − NLL_base, nats a label token (Carlini et al. 2021, arXiv:2012.07805).

The frozen base below a LoRA adapter never saw the training data and is a reference that costs nothing to train: it
says how hard a text is, and the difference what the adapter learnt of it.
"""

from service.domain.measurements import Wish
from workers.engine.metrics.metric import Metric, Side
from workers.engine.metrics.observation import Observation


def score(observation: Observation) -> float:
    """Low for members. The observation must carry the base's loss."""
    if observation.base_loss is None:
        raise ValueError("The base's loss was not measured.")
    return observation.nll - observation.base_loss


REFERENCE = Metric("reference", Wish.equal, Side.low, score, judged=False, attack=True, needs_base=True)
