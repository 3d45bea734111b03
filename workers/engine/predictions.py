"""What an adapter predicts at the label positions, and how far two adapters' predictions are apart."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from workers.engine.losses import label_logits
from workers.engine.resident import Resident
from workers.engine.tokens import Batch, Tokens, collate


@torch.no_grad()
def predictions(resident: Resident, batch: Batch, parameters: Tensor) -> Tensor:
    """Log-probabilities [N, V] fp32 at the batch's N label positions under given weights [p].

    They are computed when needed, not stored: with V = 128 000 a hundred answers take gigabytes.
    """
    resident.parameters.set(parameters)
    logits, _ = label_logits(resident.model, batch)
    return logits.log_softmax(-1)


def divergences(resident: Resident, batch: Batch, reference: Tensor) -> Tensor:
    """KL(reference ‖ resident) [B] in nats, averaged over each instance's label tokens; differentiable."""
    logits, instance = label_logits(resident.model, batch)
    return kl_per_instance(reference, logits.log_softmax(-1), instance, batch.input_ids.shape[0])


def kl_per_instance(reference: Tensor, logprobs: Tensor, instance: Tensor, size: int) -> Tensor:
    """Mean over each instance's positions of KL(reference ‖ logprobs), both [N, V] log-probabilities: [size]."""
    return mean_per_instance((reference.exp() * (reference - logprobs)).sum(-1), instance, size)


def mean_per_instance(per_token: Tensor, instance: Tensor, size: int) -> Tensor:
    """Means [size] of values [N] by instance, as a dense product: its sums are deterministic on every device."""
    membership = F.one_hot(instance, size).to(per_token.dtype)
    return (per_token @ membership) / membership.sum(0)


@torch.no_grad()
def mean_divergence(resident: Resident, tokens: Sequence[Tokens], before: Tensor, after: Tensor) -> float:
    """Mean over instances of KL(before ‖ after), nats per label token. The resident is left at `after`."""
    if not tokens:
        return 0.0

    def total(size: int) -> float:
        found = 0.0
        for start in range(0, len(tokens), size):
            batch = collate(tokens[start : start + size], resident.pad_id).to(resident.device)
            reference = predictions(resident, batch, before)
            resident.parameters.set(after)
            found += float(divergences(resident, batch, reference).sum())
        return found

    return resident.micro_batch.attempt(total) / len(tokens)
