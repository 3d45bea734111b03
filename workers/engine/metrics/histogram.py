"""How the losses of a group are spread, for a report: counts in bins that all groups share."""

import numpy as np

from service.domain.measurements import Distribution
from workers.engine.metrics.groups import Observed, losses

BINS = 20


def distributions(observed: Observed) -> list[Distribution]:
    """One a group before, and one after."""
    spread = [
        (group, before, losses(moved.before if before else moved.after))
        for group, moved in observed.by_group.items()
        if moved.after
        for before in (True, False)
    ]
    everything = [loss for _, _, found in spread for loss in found]
    if not everything:
        return []
    edges = np.histogram_bin_edges(everything, BINS)
    return [
        Distribution(group, before, tuple(edges.tolist()), tuple(np.histogram(found, edges)[0].tolist()))
        for group, before, found in spread
    ]
