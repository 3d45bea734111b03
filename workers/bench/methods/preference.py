"""The ascent family: push the forgotten away, hold the retained, and stop at the goal loss."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from workers.bench.cases import Case
from workers.bench.methods.descent import Stream, descend, losses_of
from workers.bench.methods.goals import forgotten, goal_loss
from workers.engine.evaluation import adapter_losses
from workers.engine.tokens import Tokens

Push = Callable[[Tensor, Tensor], Tensor]
"""From losses under the present weights and under the anchor, both [b], to what is minimised."""


def ascent(losses: Tensor, reference: Tensor) -> Tensor:
    """Gradient ascent: −ℓ."""
    return -losses.mean()


@dataclass(frozen=True, slots=True)
class NPO:
    """Negative preference optimisation: −(2/β) E log σ(β (ℓ − ℓ_ref)) (arXiv:2404.05868, equation 3)."""

    beta: float = 0.1

    def __call__(self, losses: Tensor, reference: Tensor) -> Tensor:
        return -2 / self.beta * logsigmoid(self.beta * (losses - reference)).mean()


@dataclass(frozen=True, slots=True)
class SimNPO:
    """NPO without a reference, on losses normalised by length: −(2/β) E log σ(β ℓ − γ) (arXiv:2410.07163, eq. 3)."""

    beta: float = 2.5
    gamma: float = 0.0

    def __call__(self, losses: Tensor, reference: Tensor) -> Tensor:
        return -2 / self.beta * logsigmoid(self.beta * losses - self.gamma).mean()


@dataclass(frozen=True, slots=True)
class PushAway:
    """Minimises `push` on the old contents plus the loss on the retained and on new contents.

    `hold` is the weight of the retained: 0 is bare ascent, 1 is GradDiff (arXiv:2203.12817). It ends when the
    forgotten reach the loss of never-seen data.
    """

    push: Push
    hold: float
    max_steps: int = 60
    rate_share: float = 0.1
    a_step: int = 12

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        line.resident.parameters.set(line.anchor)
        reference = dict(zip(case.old, adapter_losses(line.resident, case.old).tolist(), strict=True))
        old, kept, new = (Stream(group, case.seed) for group in (case.old, case.retained, case.new))

        def loss(_: int) -> Tensor:
            pushed = old.draw(self.a_step)
            losses = losses_of(line.resident, pushed)
            total = self.push(losses, losses.new_tensor([reference[tokens] for tokens in pushed]))
            return total + self._held(line_losses(kept), self.hold) + self._held(line_losses(new), 1.0)

        def line_losses(stream: Stream) -> Tensor:
            drawn: list[Tokens] = stream.draw(self.a_step)
            return losses_of(line.resident, drawn)

        return descend(
            line.resident,
            line.anchor,
            loss,
            steps=self.max_steps,
            learning_rate=self.rate_share * line.recipe.learning_rate,
            until=forgotten(case, goal_loss(case)),
        )

    def _held(self, losses: Tensor, weight: float) -> Tensor:
        return weight * losses.mean() if len(losses) and weight else torch.zeros((), device=losses.device)
