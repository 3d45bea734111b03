"""A short, budgeted fine-tune after the solve, that settles what its linear steps left uneven.

Retained instances are trained on as before. Forgotten ones are drawn to the predictions of a teacher, the
anchor moved along the solved step as far as forgetting takes it: only what it predicts for them is
used, not the harm that so long a step does elsewhere. New contents are taught to the training level.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.engine.losses import instance_losses, label_logits
from workers.engine.predictions import kl_per_instance, predictions
from workers.engine.resident import Resident
from workers.engine.right_hand_side import dropout_off
from workers.engine.tokens import Tokens, collate

RETAINED_A_STEP, FORGOTTEN_A_STEP, TAUGHT_A_STEP = 12, 2, 1
RETAINED_WEIGHT, FORGOTTEN_WEIGHT, TAUGHT_WEIGHT = 4.0, 1.0, 0.3
# In gradients of one instance; the teacher's forward pass counts a third of one.
STEP_COST = RETAINED_A_STEP + FORGOTTEN_A_STEP * 4 / 3 + TAUGHT_A_STEP
# Adam without momentum: with a few dozen steps, momentum carries past the goal. Its second moments start
# anew, since those of a training run that has memorised everything are far too small for these gradients.
BETAS = (0.0, 0.9)


@dataclass(frozen=True, slots=True)
class Contents:
    """What the polish looks at. `level` is the training loss that taught contents aim at."""

    retained: Sequence[Tokens]
    forgotten: Sequence[Tokens]
    taught: Sequence[Tokens]
    level: float


def polish(
    resident: Resident,
    contents: Contents,
    *,
    start: Tensor,
    teacher: Tensor,
    steps: int,
    learning_rate: float,
    seed: int,
) -> Tensor:
    """The weights [p] after `steps` AdamW steps from `start`, the learning rate falling linearly to 0.

    Memory: 24p bytes and the activations of a step's 15 instances, in micro-batches.
    """
    weights = nn.Parameter(start.clone())
    optimizer = torch.optim.AdamW([weights], lr=learning_rate, betas=BETAS, weight_decay=0.0, foreach=False)
    generator = torch.Generator().manual_seed(seed)
    retained, forgotten, taught = (
        _Stream(group, generator) for group in (contents.retained, contents.forgotten, contents.taught)
    )
    for step in range(steps):
        drawn = Contents(
            retained.draw(RETAINED_A_STEP),
            forgotten.draw(FORGOTTEN_A_STEP),
            taught.draw(TAUGHT_A_STEP),
            contents.level,
        )
        weights.grad = _gradient(resident, drawn, weights.detach(), teacher)
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        optimizer.step()
    return weights.detach()


def affordable_steps(instance_gradients: float) -> int:
    """How many steps fit a budget counted in gradients of one instance."""
    return int(instance_gradients / STEP_COST)


class _Stream:
    """Instances in an endless sequence of random orders."""

    def __init__(self, instances: Sequence[Tokens], generator: torch.Generator) -> None:
        self._instances = instances
        self._generator = generator
        self._waiting: list[int] = []

    def draw(self, count: int) -> list[Tokens]:
        count = min(count, len(self._instances))
        if len(self._waiting) < count:
            self._waiting = torch.randperm(len(self._instances), generator=self._generator).tolist()
        drawn, self._waiting = self._waiting[:count], self._waiting[count:]
        return [self._instances[index] for index in drawn]


def _gradient(resident: Resident, drawn: Contents, weights: Tensor, teacher: Tensor) -> Tensor:
    """The gradient [p] of 4 · retained loss + KL(teacher ‖ ·) on the forgotten + 0.3 · taught loss above the level."""
    forgotten = [(tokens, FORGOTTEN_WEIGHT / len(drawn.forgotten)) for tokens in drawn.forgotten]
    retained = [(tokens, RETAINED_WEIGHT / len(drawn.retained)) for tokens in drawn.retained]
    taught = [(tokens, TAUGHT_WEIGHT / len(drawn.taught)) for tokens in drawn.taught]

    def accumulate(size: int) -> Tensor:
        resident.parameters.zero_grad()
        with dropout_off(resident.model):
            for part in _cut(forgotten, size):
                _towards_teacher(resident, part, weights, teacher)
            resident.parameters.set(weights)
            for part in _cut(retained, size):
                _towards_labels(resident, part, floor=0.0)
            for part in _cut(taught, size):
                _towards_labels(resident, part, floor=drawn.level)
        gradient = resident.parameters.gradient()
        resident.parameters.zero_grad()
        return gradient

    return resident.micro_batch.attempt(accumulate)


def _cut(weighted: Sequence[tuple[Tokens, float]], size: int) -> list[Sequence[tuple[Tokens, float]]]:
    return [weighted[start : start + size] for start in range(0, len(weighted), size)]


def _towards_teacher(
    resident: Resident, weighted: Sequence[tuple[Tokens, float]], weights: Tensor, teacher: Tensor
) -> None:
    batch = collate([tokens for tokens, _ in weighted], resident.pad_id).to(resident.device)
    expected = predictions(resident, batch, teacher)
    resident.parameters.set(weights)
    logits, instance = label_logits(resident.model, batch)
    apart = kl_per_instance(expected, logits.log_softmax(-1), instance, len(weighted))
    (apart @ apart.new_tensor([weight for _, weight in weighted])).backward()  # type: ignore[no-untyped-call]


def _towards_labels(resident: Resident, weighted: Sequence[tuple[Tokens, float]], *, floor: float) -> None:
    """Accumulates the gradient of Σ weight · max(loss, floor): an instance below the floor is left alone."""
    batch = collate([tokens for tokens, _ in weighted], resident.pad_id).to(resident.device)
    losses = instance_losses(resident.model, batch).clamp(min=floor)
    (losses @ losses.new_tensor([weight for _, weight in weighted])).backward()  # type: ignore[no-untyped-call]
