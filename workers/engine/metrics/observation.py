"""What one forward pass tells of an instance: everything that the metrics are computed from.

The logits of a micro-batch are looked at once and dropped; an observation keeps four numbers a label token, so that
no metric ever costs a pass of its own. Every label token counts, the last one too: an end token is learnt as well.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workers.engine.losses import label_ids, label_logits
from workers.engine.predictions import kl_per_instance
from workers.engine.resident import Resident
from workers.engine.tokens import NO_LOSS, Batch, Tokens, collate

# Rows of logits whose moments are taken at once: more would only need a second copy of a micro-batch's logits.
ROWS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """An instance under one adapter: CPU tensors [T], a value for each of its T label tokens.

    `logprobs`: log p(label), fp64. `correct`: whether the label is the likeliest token. `mean` and `deviation`: of
    log p(v) when v is drawn from p, fp64. `compressed`: bytes of the label text under zlib. `base_loss`: the bare
    base's mean loss, nats a label token, None where it was not measured.
    """

    logprobs: Tensor
    correct: Tensor
    mean: Tensor
    deviation: Tensor
    compressed: int
    base_loss: float | None = None

    @property
    def nll(self) -> float:
        """−(1/T) Σ log p(label), nats a label token."""
        return -float(self.logprobs.mean())


@dataclass(frozen=True, slots=True)
class Moved:
    """The same instances under two weights, and KL(before ‖ after) of each, nats a label token."""

    before: Sequence[Observation]
    after: Sequence[Observation]
    divergences: Sequence[float]


@torch.no_grad()
def observe(
    resident: Resident, tokens: Sequence[Tokens], weights: Tensor, compressed: Sequence[int] | None = None
) -> list[Observation]:
    """Observations under weights [p], in the given order, by one forward pass of each. Leaves the weights in place.

    `compressed`: the label texts' compressed sizes, where they are known.

    Memory: the logits of a micro-batch at its labels, and a quarter thousand rows more.
    """
    sizes = compressed or [compressed_size(resident, one) for one in tokens]

    def attempt(size: int) -> list[Observation]:
        resident.parameters.set(weights)
        found: list[Observation] = []
        for start in range(0, len(tokens), size):
            batch = collate(tokens[start : start + size], resident.pad_id).to(resident.device)
            logits, _ = label_logits(resident.model, batch)
            found += observations(logits.log_softmax(-1), batch, sizes[start : start + size])
        return found

    return resident.micro_batch.attempt(attempt)


@torch.no_grad()
def observe_both(resident: Resident, tokens: Sequence[Tokens], before: Tensor, after: Tensor) -> Moved:
    """Observations under two weights [p], and how far apart their predictions are, by two forward passes of each.

    Leaves `after` in place. Memory: twice the logits of a micro-batch at its labels.
    """
    sizes = [compressed_size(resident, one) for one in tokens]

    def attempt(size: int) -> Moved:
        was, now, apart = list[Observation](), list[Observation](), list[float]()
        for start in range(0, len(tokens), size):
            part = sizes[start : start + size]
            batch = collate(tokens[start : start + size], resident.pad_id).to(resident.device)
            resident.parameters.set(before)
            reference = label_logits(resident.model, batch)[0].log_softmax(-1)
            resident.parameters.set(after)
            logits, instance = label_logits(resident.model, batch)
            present = logits.log_softmax(-1)
            was += observations(reference, batch, part)
            now += observations(present, batch, part)
            apart += kl_per_instance(reference, present, instance, len(part)).tolist()
        return Moved(was, now, apart)

    return resident.micro_batch.attempt(attempt)


def observations(logprobs: Tensor, batch: Batch, compressed: Sequence[int]) -> list[Observation]:
    """A micro-batch's log-probabilities [N, V] at its N label positions as an observation an instance."""
    labels = label_ids(batch)
    of_labels = logprobs.gather(1, labels[:, None])[:, 0]
    correct = logprobs.argmax(-1) == labels
    moments = [_moments(rows) for rows in torch.split(logprobs, ROWS)]
    mean, deviation = (torch.cat(parts) for parts in zip(*moments, strict=True))
    counts = (batch.labels[:, 1:] != NO_LOSS).sum(1).tolist()
    columns = (of_labels.double(), correct, mean.double(), deviation.double())
    split = zip(*(torch.split(column.cpu(), counts) for column in columns), compressed, strict=True)
    return [Observation(*values) for values in split]


def with_base(observed: Sequence[Observation], base: Tensor) -> list[Observation]:
    """The same observations with the bare base's losses [n]."""
    return [replace(one, base_loss=loss) for one, loss in zip(observed, base.tolist(), strict=True)]


def compressed_size(resident: Resident, tokens: Tokens) -> int:
    """Bytes that zlib makes of the instance's label text: what the losses are of, and nothing else.

    Carlini's attack compresses the whole text; here the prompt carries no loss, so its size would be noise.
    """
    labels = [label for label in tokens.labels if label != NO_LOSS]
    return len(zlib.compress(str(resident.tokenizer.decode(labels)).encode()))


def _moments(logprobs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [N] of log p(v), v ~ p, of rows [N, V]."""
    probabilities = logprobs.exp()
    # A token of probability zero adds nothing, but 0 · −∞ is no number.
    logprobs = logprobs.nan_to_num(neginf=0.0)
    mean = (probabilities * logprobs).sum(-1)
    return mean, (probabilities * (logprobs - mean[:, None]).square()).sum(-1).sqrt()
