"""A few steps that draw forgotten instances to what adapters that never saw them predict.

Distillation (Hinton et al. 2015, arXiv:1503.02531) towards out-of-fold predictions: not away from the old
answer, which says nothing of what a retrain would say instead, but towards a retrain's own. Corrected contents
are taught down to the training level in the same steps, and retained instances are held to what they were.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from workers.engine.losses import instance_losses, label_logits
from workers.engine.predictions import kl_per_instance, mean_per_instance, predictions
from workers.engine.resident import Resident
from workers.engine.right_hand_side import dropout_off
from workers.engine.tokens import Tokens, collate
from workers.engine.top_predictions import TopPredictions, joined

# Instances of each kind in a step; fewer where there are fewer.
FORGOTTEN_A_STEP, TAUGHT_A_STEP, RETAINED_A_STEP = 36, 18, 16
# How much the retained weigh against one forgotten mean.
RETAINED_WEIGHT = 6.0
# The steps start at this share of the training run's peak learning rate.
LEARNING_RATE_SHARE = 0.2

Loss: TypeAlias = Callable[[slice], Tensor]
"""The weighted loss of some of a group's drawn instances, with its graph."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """`targets` are the out-of-fold predictions for the forgotten, one each; `level` is the training loss that
    taught contents aim at; the retained are held to what the anchor's weights [p] predict."""

    forgotten: Sequence[Tokens]
    targets: Sequence[TopPredictions]
    taught: Sequence[Tokens]
    level: float
    retained: Sequence[Tokens]
    anchor: Tensor

    @property
    def step_cost(self) -> float:
        """Gradients of one instance that a step takes; the anchor's forward pass counts a third of one."""
        retained = min(RETAINED_A_STEP, len(self.retained)) * 4 / 3
        return min(FORGOTTEN_A_STEP, len(self.forgotten)) + min(TAUGHT_A_STEP, len(self.taught)) + retained


def distil(
    resident: Resident,
    lesson: Lesson,
    *,
    start: Tensor,
    second_moments: Tensor | None,
    steps: int,
    learning_rate: float,
    seed: int,
) -> Tensor:
    """The weights [p] after `steps` AdamW steps from `start`, the learning rate falling linearly to 0.

    `second_moments` [p] are those that training ended with, so that so few steps are scaled as training's were.
    Memory: 24p bytes, and the activations of a step's at most 70 instances, in micro-batches.
    """
    weights = nn.Parameter(start.clone())
    optimizer = torch.optim.AdamW([weights], lr=learning_rate, weight_decay=0.0, foreach=False)
    if second_moments is not None:
        optimizer.state[weights] = _state_after_training(second_moments.to(start))
    generator = torch.Generator().manual_seed(seed)
    forgotten, taught, retained = (
        _Stream(len(group), generator) for group in (lesson.forgotten, lesson.taught, lesson.retained)
    )
    for step in range(steps):
        drawn = (
            forgotten.draw(FORGOTTEN_A_STEP),
            taught.draw(TAUGHT_A_STEP),
            retained.draw(RETAINED_A_STEP),
        )
        weights.grad = _gradient(resident, lesson, drawn, weights.detach())
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        optimizer.step()
    return weights.detach()


def _state_after_training(second_moments: Tensor) -> dict[str, Tensor]:
    """Adam's state with these moments [p]; so many steps in that nothing is left of the correction of their bias.

    The first moments start from zero, and without their correction: the first steps are smaller, as a warm-up.
    """
    return {
        "step": torch.tensor(1e6),
        "exp_avg": torch.zeros_like(second_moments),
        "exp_avg_sq": second_moments.clone(),
    }


class _Stream:
    """Positions in an endless sequence of random orders of a group."""

    def __init__(self, size: int, generator: torch.Generator) -> None:
        self._size = size
        self._generator = generator
        self._waiting: list[int] = []

    def draw(self, count: int) -> list[int]:
        count = min(count, self._size)
        if len(self._waiting) < count:
            # What is left over comes first, so that a group larger than a step is gone through evenly.
            self._waiting += torch.randperm(self._size, generator=self._generator).tolist()
        drawn, self._waiting = self._waiting[:count], self._waiting[count:]
        return drawn


def _gradient(resident: Resident, lesson: Lesson, drawn: Sequence[list[int]], weights: Tensor) -> Tensor:
    """The gradient [p] of KL(target ‖ ·) on the forgotten + loss above the level of the taught + 6 times
    KL(anchor ‖ ·) on the retained, each a mean over the instances drawn."""
    forgotten, taught, retained = drawn
    held = RETAINED_WEIGHT / max(1, len(retained))
    parts: list[tuple[int, Loss]] = [
        (len(forgotten), lambda part: _towards_targets(resident, lesson, forgotten[part], weights) / len(forgotten)),
        (len(taught), lambda part: _towards_labels(resident, lesson, taught[part], weights) / len(taught)),
        (len(retained), lambda part: held * _as_it_was(resident, lesson, retained[part], weights)),
    ]

    def accumulate(size: int) -> Tensor:
        resident.parameters.zero_grad()
        with dropout_off(resident.model):
            for count, loss in parts:
                for first in range(0, count, size):
                    loss(slice(first, first + size)).backward()  # type: ignore[no-untyped-call]
        gradient = resident.parameters.gradient()
        resident.parameters.zero_grad()
        return gradient

    return resident.micro_batch.attempt(accumulate)


def _towards_targets(resident: Resident, lesson: Lesson, drawn: Sequence[int], weights: Tensor) -> Tensor:
    batch = collate([lesson.forgotten[index] for index in drawn], resident.pad_id).to(resident.device)
    expected = joined([lesson.targets[index] for index in drawn]).to(resident.device)
    resident.parameters.set(weights)
    logits, instance = label_logits(resident.model, batch)
    return mean_per_instance(expected.kl(logits.log_softmax(-1)), instance, len(drawn)).sum()


def _towards_labels(resident: Resident, lesson: Lesson, drawn: Sequence[int], weights: Tensor) -> Tensor:
    batch = collate([lesson.taught[index] for index in drawn], resident.pad_id).to(resident.device)
    resident.parameters.set(weights)
    return instance_losses(resident.model, batch).clamp(min=lesson.level).sum()


def _as_it_was(resident: Resident, lesson: Lesson, drawn: Sequence[int], weights: Tensor) -> Tensor:
    batch = collate([lesson.retained[index] for index in drawn], resident.pad_id).to(resident.device)
    expected = predictions(resident, batch, lesson.anchor)
    resident.parameters.set(weights)
    logits, instance = label_logits(resident.model, batch)
    return kl_per_instance(expected, logits.log_softmax(-1), instance, len(drawn)).sum()
