"""Rows of the Fisher information, which for a softmax likelihood is the generalised Gauss-Newton matrix.

One first-order backward pass a batch: hooks on the LoRA matrices see each instance's input and output
gradient, and their outer product is the instance's own gradient. Nothing is differentiated twice, so
fused attention and non-reentrant checkpointing stay usable.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from workers.engine.lora_hooks import watched
from workers.engine.losses import label_logits
from workers.engine.resident import Resident
from workers.engine.right_hand_side import dropout_off
from workers.engine.tokens import Tokens, collate

# Instances whose rows [B, p] are formed at once.
ROW_BATCH = 16


def fisher_rows(
    resident: Resident, tokens: Sequence[Tokens], weights: Sequence[float], generator: torch.Generator
) -> Iterator[Tensor]:
    """One row rᵢ [p] an instance, in blocks [≤ 16, p] fp32, with E[rᵢᵀ rᵢ] = wᵢ GGNᵢ of its token-mean loss.

    Labels are drawn from the model's own predictions at the T label positions (Kunstner et al. 2019,
    arXiv:1905.12558, section 2), once an instance. With independent draws the gradient of the mean
    over T tokens has covariance GGN/T, hence the factor √(wᵢ T). `generator` lives on the CPU.

    Memory: 4·16·p bytes for a block, the activations of a micro-batch, and its inputs to the LoRA matrices.
    """
    for start in range(0, len(tokens), ROW_BATCH):
        chosen = tokens[start : start + ROW_BATCH]
        scales = [
            math.sqrt(weight * instance.label_count)
            for instance, weight in zip(chosen, weights[start : start + ROW_BATCH], strict=True)
        ]
        yield _block(resident, chosen, generator).mul_(torch.tensor(scales, device=resident.device)[:, None])


def _block(resident: Resident, tokens: Sequence[Tokens], generator: torch.Generator) -> Tensor:
    """∇ of each instance's mean cross-entropy against sampled labels [B, p]."""
    uniforms = [torch.rand(instance.label_count, generator=generator) for instance in tokens]

    def attempt(size: int) -> Tensor:
        parts = []
        for start in range(0, len(tokens), size):
            draws = torch.cat(uniforms[start : start + size])
            parts.append(_sampled_gradients(resident, tokens[start : start + size], draws))
        return torch.cat(parts)

    return resident.micro_batch.attempt(attempt)


def _sampled_gradients(resident: Resident, tokens: Sequence[Tokens], draws: Tensor) -> Tensor:
    batch = collate(tokens, resident.pad_id).to(resident.device)
    with dropout_off(resident.model), instance_gradients(resident, len(tokens)) as rows:
        logits, instance = label_logits(resident.model, batch)
        labels = sample_labels(logits.detach(), draws.to(resident.device))
        counts = torch.bincount(instance, minlength=len(tokens))
        losses = F.cross_entropy(logits, labels, reduction="none") / counts[instance]
        losses.sum().backward()  # type: ignore[no-untyped-call]
    resident.parameters.zero_grad()
    return rows


def sample_labels(logits: Tensor, draws: Tensor) -> Tensor:
    """Inverse-transform sampling of one label a position [N] from logits [N, V] with uniforms [N] in [0, 1)."""
    cumulative = logits.double().softmax(-1).cumsum(-1)
    return torch.searchsorted(cumulative, draws.double()[:, None])[:, 0].clamp_(max=logits.shape[-1] - 1)


@contextmanager
def instance_gradients(resident: Resident, size: int) -> Iterator[Tensor]:
    """Within the block, a backward pass of Σ losses fills the yielded tensor [size, p] with each one's gradient.

    Raises:
        EngineRefusal: `instance_gradients` if a LoRA layer mixes the instances of a batch (fused experts).
    """
    rows = torch.zeros(size, resident.parameters.size, device=resident.device)
    slices = resident.parameters.slices

    def accumulate(name: str, inputs: Tensor, gradient: Tensor) -> None:
        outer = torch.einsum("bto,bti->boi", gradient.float(), inputs.float())
        rows[:, slices[name]] += outer.reshape(size, -1)

    with watched(resident, size, accumulate):
        yield rows
