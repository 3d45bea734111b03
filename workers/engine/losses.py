"""Per-instance losses: the ℓᵢ of J(φ) = Σ wᵢ ℓᵢ(φ)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from workers.engine.tokens import NO_LOSS, Batch, Tokens, collate


def label_logits(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits [N, V] in fp32 at the N positions of the batch that carry a loss, and each one's instance [N].

    Only these rows are widened to fp32: with a vocabulary of 100 000 the prompt's rows would dominate memory.
    """
    logits: Tensor = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).logits
    carries_loss = batch.labels[:, 1:] != NO_LOSS
    return logits[:, :-1][carries_loss].float(), carries_loss.nonzero()[:, 0]


def label_ids(batch: Batch) -> Tensor:
    """The label tokens [N], in the order of `label_logits`."""
    labels = batch.labels[:, 1:]
    return labels[labels != NO_LOSS]


def instance_losses(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy over each instance's label tokens [B], fp32, nats per token."""
    logits, instance = label_logits(model, batch)
    per_token = cross_entropy(logits, label_ids(batch), reduction="none")
    size = batch.input_ids.shape[0]
    counts = torch.bincount(instance, minlength=size)
    # A dense product, not index_add: its backward and its sums are deterministic on every device.
    membership = one_hot(instance, size).to(per_token.dtype)
    return (per_token @ membership) / counts


@torch.no_grad()
def mean_losses(
    model: nn.Module, tokens: Sequence[Tokens], pad_id: int, device: torch.device, batch_size: int
) -> Tensor:
    """Loss of every instance [n] in eval mode, on the CPU in fp32, in the given order."""
    was_training = model.training
    model.eval()
    by_length = sorted(range(len(tokens)), key=lambda index: len(tokens[index].ids))
    losses = torch.empty(len(tokens))
    for start in range(0, len(tokens), batch_size):
        chosen = by_length[start : start + batch_size]
        batch = collate([tokens[index] for index in chosen], pad_id).to(device)
        losses[chosen] = instance_losses(model, batch).cpu()
    model.train(was_training)
    return losses
