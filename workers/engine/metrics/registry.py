"""Every metric that one observation is enough for, by name."""

from workers.engine.metrics.exact_memorisation import EXACT_MEMORISATION
from workers.engine.metrics.extraction_strength import EXTRACTION_STRENGTH
from workers.engine.metrics.loss import LOSS
from workers.engine.metrics.metric import Metric
from workers.engine.metrics.min_k import MIN_K
from workers.engine.metrics.min_k_plus_plus import MIN_K_PLUS_PLUS
from workers.engine.metrics.probability import PROBABILITY
from workers.engine.metrics.reference import REFERENCE
from workers.engine.metrics.zlib_ratio import ZLIB

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        LOSS,
        PROBABILITY,
        EXTRACTION_STRENGTH,
        EXACT_MEMORISATION,
        MIN_K,
        MIN_K_PLUS_PLUS,
        ZLIB,
        REFERENCE,
    )
}
