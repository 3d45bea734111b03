"""What an adapter predicts at the label positions, and how far two adapters' predictions are apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from workers.engine.losses import label_ids, label_logits
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


def kl_per_instance(reference: Tensor, logprobs: Tensor, instance: Tensor, size: int) -> Tensor:
    """Mean over each instance's positions of KL(reference ‖ logprobs), both [N, V] log-probabilities: [size]."""
    return mean_per_instance((reference.exp() * (reference - logprobs)).sum(-1), instance, size)


def mean_per_instance(per_token: Tensor, instance: Tensor, size: int) -> Tensor:
    """Means [size] of values [N] by instance, as a dense product: its sums are deterministic on every device."""
    membership = F.one_hot(instance, size).to(per_token.dtype)
    return (per_token @ membership) / membership.sum(0)


@dataclass(frozen=True, slots=True)
class Shift:
    """Mean loss of some instances before and after an update, and mean KL(before ‖ after), nats a label token."""

    before: float
    after: float
    divergence: float


@torch.no_grad()
def shift(resident: Resident, tokens: Sequence[Tokens], before: Tensor, after: Tensor) -> Shift:
    """Compares two weights [p] on at least one instance, by two forward passes of each. Leaves `after` in place."""

    def means(size: int) -> Tensor:
        sums = torch.zeros(3, dtype=torch.float64)
        for start in range(0, len(tokens), size):
            batch = collate(tokens[start : start + size], resident.pad_id).to(resident.device)
            reference = predictions(resident, batch, before)
            resident.parameters.set(after)
            logits, instance = label_logits(resident.model, batch)
            present = logits.log_softmax(-1)
            count = batch.input_ids.shape[0]
            losses = (mean_per_instance(_surprise(batch, of), instance, count) for of in (reference, present))
            divergences = kl_per_instance(reference, present, instance, count)
            sums += torch.stack([values.double().sum().cpu() for values in (*losses, divergences)])
        return sums / len(tokens)

    return Shift(*resident.micro_batch.attempt(means).tolist())


def _surprise(batch: Batch, logprobs: Tensor) -> Tensor:
    return F.nll_loss(logprobs, label_ids(batch), reduction="none")
