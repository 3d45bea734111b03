"""The ascent family: push the forgotten away, hold the retained, and stop at the goal loss."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from workers.bench.cases import Case
from workers.bench.methods.descent import Stream, descend, losses_of
from workers.bench.methods.goals import forgotten, goal_loss, learned
from workers.engine.evaluation import adapter_losses
from workers.engine.tokens import Tokens

Push = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From losses a token under the present weights and under the anchor, and numbers of tokens, all [b], to what is
minimised."""


def ascent(losses: Tensor, reference: Tensor, lengths: Tensor) -> Tensor:
    """Gradient ascent: −ℓ."""
    return -losses.mean()


@dataclass(frozen=True, slots=True)
class NPO:
    """Negative preference optimisation: −(2/β) E log σ(β (ℓ − ℓ_ref)) (arXiv:2404.05868, equation 3).

    ℓ is of the whole answer, the sum over its tokens.
    """

    beta: float = 0.1

    def __call__(self, losses: Tensor, reference: Tensor, lengths: Tensor) -> Tensor:
        return -2 / self.beta * logsigmoid(self.beta * lengths * (losses - reference)).mean()


@dataclass(frozen=True, slots=True)
class SimNPO:
    """NPO without a reference, on losses normalised by length: −(2/β) E log σ(β ℓ − γ) (arXiv:2410.07163, eq. 3)."""

    beta: float = 2.5
    gamma: float = 0.0

    def __call__(self, losses: Tensor, reference: Tensor, lengths: Tensor) -> Tensor:
        return -2 / self.beta * logsigmoid(self.beta * losses - self.gamma).mean()


@dataclass(frozen=True, slots=True)
class PushAway:
    """Minimises `push` on the old contents plus the loss on the retained and on new contents.

    `hold` is the weight of the retained: 0 is bare ascent, 1 is GradDiff (arXiv:2203.12817). It pushes until the
    forgotten reach the loss of never-seen data, and ends when the new contents are learnt as well.
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
        reached = forgotten(case, goal_loss(case))
        pushing = True

        def done() -> bool:
            nonlocal pushing
            pushing = not reached()
            return not pushing and learned(case)

        def loss(_: int) -> Tensor:
            total = self._held(case, kept, self.hold) + self._held(case, new, 1.0)
            return total + self._pushed(case, old.draw(self.a_step), reference) if pushing else total

        return descend(
            line.resident,
            line.anchor,
            loss,
            steps=self.max_steps,
            learning_rate=self.rate_share * line.recipe.learning_rate,
            until=done,
        )

    def _pushed(self, case: Case, tokens: Sequence[Tokens], reference: Mapping[Tokens, float]) -> Tensor:
        losses = losses_of(case.line.resident, tokens)
        lengths = losses.new_tensor([one.label_count for one in tokens])
        return self.push(losses, losses.new_tensor([reference[one] for one in tokens]), lengths)

    def _held(self, case: Case, stream: Stream, weight: float) -> Tensor:
        drawn = stream.draw(self.a_step) if weight else []
        if not drawn:
            return torch.zeros((), device=case.line.resident.device)
        return weight * losses_of(case.line.resident, drawn).mean()
