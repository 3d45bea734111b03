"""Losses of the adapter, and of the bare base below it, on a training set and its holdout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from service.domain.engine import Example, Losses, TrainingSet
from workers.engine.losses import mean_losses
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens, encode

# Means are taken over at most this many instances, evenly spread over the data.
MEASURED = 2048


@dataclass(frozen=True, slots=True)
class Comparison:
    """Mean losses on training and never-seen instances: `before` of the bare base, `after` of the adapter."""

    before: Losses
    after: Losses


def encode_data(resident: Resident, data: TrainingSet) -> dict[str, Tokens]:
    """Tokens of all training and holdout instances by id.

    Raises:
        EngineRefusal: an instance cannot be encoded under the training format.
    """
    everything = (*data.examples, *data.holdout)
    return {example.id: encode(resident.tokenizer, example.content, data.format) for example in everything}


def adapter_losses(resident: Resident, tokens: Sequence[Tokens]) -> Tensor:
    """Loss of each instance [n] under the resident's adapter, in eval mode."""
    return resident.micro_batch.attempt(
        lambda size: mean_losses(resident.model, tokens, resident.pad_id, resident.device, size)
    )


def base_losses(resident: Resident, tokens: Sequence[Tokens]) -> Tensor:
    """Loss of each instance [n] under the bare base model."""
    with resident.model.disable_adapter():
        return adapter_losses(resident, tokens)


def compare(resident: Resident, training: Sequence[Tokens], holdout: Sequence[Tokens]) -> Comparison:
    """Mean losses of the bare base and of the adapter, in nats per token."""

    def mean(losses: Tensor) -> float | None:
        return losses.mean().item() if losses.numel() else None

    return Comparison(
        Losses(None, None, mean(base_losses(resident, training)), mean(base_losses(resident, holdout))),
        Losses(None, None, mean(adapter_losses(resident, training)), mean(adapter_losses(resident, holdout))),
    )


def compare_data(resident: Resident, data: TrainingSet, tokens: Mapping[str, Tokens]) -> Comparison:
    """`compare` on a dataset, or on instances spread over a large one."""
    return compare(
        resident,
        [tokens[example.id] for example in spread(data.examples)],
        [tokens[example.id] for example in spread(data.holdout)],
    )


def spread(examples: Sequence[Example], count: int = MEASURED) -> list[Example]:
    """At most `count` examples at equal distances."""
    if len(examples) <= count:
        return list(examples)
    return [examples[index * len(examples) // count] for index in range(count)]
