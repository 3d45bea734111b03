"""AdamW on any loss of a few groups of instances: what the first-order methods have in common."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from workers.engine.losses import instance_losses
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens, collate

Loss = Callable[[int], Tensor]
"""The loss of a step, with its graph, at the weights that the resident holds."""
Until = Callable[[], bool]


def descend(
    resident: Resident,
    start: Tensor,
    loss: Loss,
    *,
    steps: int,
    learning_rate: float,
    second_moments: Tensor | None = None,
    until: Until | None = None,
) -> Tensor:
    """The weights [p] after at most `steps` AdamW steps, the rate falling linearly to 0; ends early at `until`.

    `second_moments` [p] takes Adam's state over from training. Memory: 16p bytes.
    """
    weights = nn.Parameter(start.clone())
    optimizer = torch.optim.AdamW([weights], lr=learning_rate, weight_decay=0.0, foreach=False)
    if second_moments is not None:
        state = {"step": torch.tensor(1e6), "exp_avg": torch.zeros_like(start), "exp_avg_sq": second_moments.clone()}
        optimizer.state[weights] = state
    for step in range(steps):
        resident.parameters.set(weights.detach())
        if until is not None and until():
            break
        resident.parameters.zero_grad()
        loss(step).backward()  # type: ignore[no-untyped-call]
        weights.grad = resident.parameters.gradient()
        resident.parameters.zero_grad()
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        optimizer.step()
    return weights.detach()


def losses_of(resident: Resident, tokens: Sequence[Tokens]) -> Tensor:
    """Each instance's loss [n], with its graph; an empty group has none."""
    if not tokens:
        return torch.zeros(0, device=resident.device)
    return instance_losses(resident.model, collate(tokens, resident.pad_id).to(resident.device))


class Stream:
    """Instances in an endless sequence of seeded random orders."""

    def __init__(self, instances: Sequence[Tokens], seed: int) -> None:
        self._instances = instances
        self._generator = torch.Generator().manual_seed(seed)
        self._waiting: list[int] = []

    def draw(self, count: int) -> list[Tokens]:
        """The next instances; fewer at the end of an order, so that each comes up once in every one."""
        if not self._waiting:
            self._waiting = torch.randperm(len(self._instances), generator=self._generator).tolist()
        drawn, self._waiting = self._waiting[:count], self._waiting[count:]
        return [self._instances[index] for index in drawn]
