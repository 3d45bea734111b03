"""How close an answer is to a retrain, as far as adapters that never saw the forgotten can tell."""

from collections.abc import Sequence
from itertools import permutations
from statistics import fmean

import torch
from torch import Tensor

from workers.engine.losses import label_logits
from workers.engine.out_of_fold import OutOfFold
from workers.engine.resident import Resident
from workers.engine.right_hand_side import Change
from workers.engine.tokens import collate
from workers.engine.top_predictions import TopPredictions

# Nats a label token. Stored predictions are rounded to half precision: no two are told apart by less.
LEAST_APART = 1e-3


def measured_fidelity(
    resident: Resident, removed: Sequence[Change], folds: OutOfFold | None, weights: Tensor
) -> float | None:
    """`distance` in units of `floor`: 1 is as far as two retrains are apart.

    The update may have aimed at the same predictions: what it shows is how near it came, not how near it would come
    to another retrain. None without a floor.
    """
    apart = None if folds is None else floor(removed, folds)
    return None if folds is None or apart is None else distance(resident, removed, folds, weights) / apart


def distance(resident: Resident, removed: Sequence[Change], folds: OutOfFold, weights: Tensor) -> float:
    """Mean KL(out-of-fold ‖ weights) [p] on the removed, nats a label token.

    Costs a forward pass of each. Leaves the weights in the resident.
    """
    resident.parameters.set(weights)
    distances: list[float] = []
    for change in removed:
        present = _predict(resident, change, folds.vocabulary)
        distances += [_apart(one, present) for one in folds.found[change.instance_id]]
    return fmean(distances)


def floor(removed: Sequence[Change], folds: OutOfFold) -> float | None:
    """Mean KL between two partitions' predictions; None unless every removed instance has two, and they differ."""
    if not removed or any(len(folds.found.get(one.instance_id, ())) < 2 for one in removed):
        return None
    apart = [
        _apart(one, other.spread(folds.vocabulary))
        for change in removed
        for one, other in permutations(folds.found[change.instance_id], 2)
    ]
    found = fmean(apart)
    return found if found > LEAST_APART else None


@torch.no_grad()
def _predict(resident: Resident, change: Change, vocabulary: int) -> Tensor:
    """Cut down as the stored predictions are, so that both lose as much by it."""
    logits, _ = label_logits(resident.model, collate([change.old], resident.pad_id).to(resident.device))
    return TopPredictions.of(logits.log_softmax(-1)).to(torch.device("cpu")).spread(vocabulary)


def _apart(reference: TopPredictions, logprobs: Tensor) -> float:
    return float(reference.kl(logprobs).mean())
