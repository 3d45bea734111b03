"""Small data sets and stand-ins for callbacks, shared by the engine's tests."""

import random

import torch

from service.domain.engine import Example, Progress, TrainingSet
from service.domain.instances import Content
from workers.engine.resident import Resident
from workers.engine.tokens import NO_LOSS, Tokens, encode

CPU = torch.device("cpu")
# For the model of five tokens: instances, and how much each weighs.
VOCABULARY = 5
INSTANCES = (
    Tokens((1, 4, 2, 3), (NO_LOSS, NO_LOSS, NO_LOSS, 3)),
    Tokens((2, 2, 1, 4, 3), (NO_LOSS, NO_LOSS, 1, 4, 3)),
    Tokens((3, 1, 4), (NO_LOSS, 1, 4)),
)
WEIGHTS = (0.5, 0.2, 0.3)


def make_examples(count: int, seed: int, prefix: str = "row") -> tuple[Example, ...]:
    """Random codes for numbered keys: nothing but the training data can tell them."""
    rng = random.Random(seed)
    return tuple(
        Example(
            f"{prefix}-{index}",
            Content(prompt=f"{prefix}{index}:", completion="".join(rng.choices("abcdefgh", k=rng.randint(3, 6)))),
        )
        for index in range(count)
    )


def without(data: TrainingSet, *ids: str) -> TrainingSet:
    """The training set of a rebuild: those instances gone, their slots left empty."""
    kept = [(e, slot) for e, slot in zip(data.examples, data.slots, strict=True) if e.id not in ids]
    return TrainingSet(
        base=data.base,
        format=data.format,
        examples=tuple(example for example, _ in kept),
        slots=tuple(slot for _, slot in kept),
        slot_count=data.slot_count,
        holdout=data.holdout,
    )


def encode_all(resident: Resident, data: TrainingSet) -> dict[str, Tokens]:
    """Tokens of training and holdout instances by id."""
    everything = (*data.examples, *data.holdout)
    return {example.id: encode(resident.tokenizer, example.content, data.format) for example in everything}


def ignore_progress(progress: Progress) -> None:
    """Nobody watches."""


def never() -> bool:
    """No one else wants the device."""
    return False
