"""A short, budgeted fine-tune after the solve, that settles what the linear steps left uneven.

Retained instances are held half at the anchor's own predictions and half at their labels, forgotten ones at
the predictions the solve gave them (a two-sided hold: they neither come back nor drift further), and new
contents are taught to the training level.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.engine.losses import instance_losses, label_ids, label_logits
from workers.engine.predictions import kl_per_instance, mean_per_instance, predictions
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import dropout_off
from workers.engine.tokens import Tokens, collate

RETAINED_A_STEP = 12
FORGOTTEN_A_STEP = 3
TAUGHT_A_STEP = 4
RETAINED_WEIGHT = 4.0
TAUGHT_WEIGHT = 0.3
# Predictions alone let the labels' loss creep up; labels alone would train on.
LABEL_SHARE = 0.5
# Instance gradients a step: two passes, and a forward pass of the reference at a third of one.
STEP_COST = (RETAINED_A_STEP + FORGOTTEN_A_STEP) * 4 / 3 + TAUGHT_A_STEP
LEARNING_RATE_SHARE = 0.1
DEFAULT_LEARNING_RATE = 1e-4
BETA2 = 0.999


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
    anchor: Tensor,
    start: Tensor,
    steps: int,
    record: TrainingRecord | None,
    seed: int,
) -> Tensor:
    """The weights [p] after `steps` AdamW steps from `start`, learning rate falling linearly to 0.

    With a record, Adam goes on from the second moments that training ended with, at a tenth of its peak
    learning rate. Memory: 24p bytes and the activations of one step.
    """
    weights = nn.Parameter(start.clone())
    peak = LEARNING_RATE_SHARE * max(record.learning_rates) if record else DEFAULT_LEARNING_RATE
    optimizer = torch.optim.AdamW([weights], lr=peak, betas=(0.9, BETA2), weight_decay=0.0, foreach=False)
    if record is not None:
        optimizer.state[weights] = _warm_state(weights, record)
    generator = torch.Generator().manual_seed(seed)
    streams = [_Stream(group, generator) for group in (contents.retained, contents.forgotten, contents.taught)]
    for step in range(steps):
        retained, forgotten, taught = (
            stream.draw(count)
            for stream, count in zip(streams, (RETAINED_A_STEP, FORGOTTEN_A_STEP, TAUGHT_A_STEP), strict=True)
        )
        current = weights.detach()
        resident.parameters.set(current)
        resident.parameters.zero_grad()
        with dropout_off(resident.model):
            _hold(resident, retained, anchor, current, RETAINED_WEIGHT, label_share=LABEL_SHARE)
            _hold(resident, forgotten, start, current, 1.0, label_share=0.0)
            _teach(resident, taught, contents.level)
        weights.grad = resident.parameters.gradient()
        resident.parameters.zero_grad()
        optimizer.param_groups[0]["lr"] = peak * (1 - step / steps)
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
            order = torch.randperm(len(self._instances), generator=self._generator).tolist()
            self._waiting = order
        drawn, self._waiting = self._waiting[:count], self._waiting[count:]
        return [self._instances[index] for index in drawn]


def _hold(
    resident: Resident,
    tokens: Sequence[Tokens],
    reference: Tensor,
    current: Tensor,
    weight: float,
    *,
    label_share: float,
) -> None:
    """Accumulates the gradient of weight · mean of (1 − share) · KL(reference ‖ resident) + share · label loss."""
    if not tokens:
        return
    batch = collate(tokens, resident.pad_id).to(resident.device)
    expected = predictions(resident, batch, reference)
    resident.parameters.set(current)
    logits, instance = label_logits(resident.model, batch)
    logprobs = logits.log_softmax(-1)
    apart = kl_per_instance(expected, logprobs, instance, len(tokens))
    wrong = mean_per_instance(F.nll_loss(logprobs, label_ids(batch), reduction="none"), instance, len(tokens))
    loss = weight * ((1 - label_share) * apart + label_share * wrong).mean()
    loss.backward()  # type: ignore[no-untyped-call]


def _teach(resident: Resident, tokens: Sequence[Tokens], level: float) -> None:
    """Adds the gradient of the mean loss above `level`, a hinge: contents at the level are left alone."""
    if not tokens:
        return
    batch = collate(tokens, resident.pad_id).to(resident.device)
    (TAUGHT_WEIGHT * (instance_losses(resident.model, batch) - level).clamp(min=0).mean()).backward()  # type: ignore[no-untyped-call]


def _warm_state(weights: Tensor, record: TrainingRecord) -> dict[str, Tensor]:
    raw = record.second_moments.to(weights.device) * (1 - BETA2**record.steps)
    return {
        "step": torch.tensor(float(record.steps)),
        "exp_avg": torch.zeros_like(weights),
        "exp_avg_sq": raw,
    }
