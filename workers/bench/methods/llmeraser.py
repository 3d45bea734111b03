"""LLMEraser (arXiv:2412.00383): the influence equation as a stochastic quadratic programme.

min over x of ½ xᵀ H x − bᵀ x, with Hessian products of mini-batches of the training set and Adam on x;
the update is φ = φ₀ + x (section 3.3, algorithm 1). The paper names no learning rate, steps or batch size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.bench.cases import Case
from workers.bench.methods.descent import Stream
from workers.bench.methods.goals import goal_loss
from workers.bench.methods.hessian import hessian_product
from workers.engine.evaluation import adapter_losses
from workers.engine.predictions import shift
from workers.engine.right_hand_side import right_hand_side

# Retained instances that the choice of the learning rate looks at.
WATCHED = 32


@dataclass(frozen=True, slots=True)
class AsWritten:
    """The programme solved with many steps, at the best of several learning rates.

    Tuned without any oracle: of the rates, the one whose update leaves the forgotten closest to the loss
    of never-seen data, plus the change that it makes to what is retained.
    """

    steps: int = 2000
    rates: tuple[float, ...] = (1e-5, 1e-4, 1e-3)
    batch: int = 1

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        goal = goal_loss(case)
        watched = case.retained[:WATCHED]
        found: list[tuple[float, Tensor]] = []
        for rate in self.rates:
            answer = line.anchor + solve(case, steps=self.steps, rate=rate, batch=self.batch, start=0.0, factor=1.0)
            line.resident.parameters.set(answer)
            missed = abs(float(adapter_losses(line.resident, case.old).mean()) - goal)
            harm = shift(line.resident, watched, line.anchor, answer).divergence
            found.append((missed + harm, answer))
        return min(found, key=lambda pair: pair[0])[1]


def as_released(case: Case) -> Tensor:
    """The authors' code at its defaults: 20 steps of Adam at 1e-5 from x = 1e-5, one instance a step, weight decay
    1e-5, and half of every Hessian product, since the product is detached from its graph."""
    return case.line.anchor + solve(case, steps=20, rate=1e-5, batch=1, start=1e-5, factor=0.5, decay=1e-5)


def solve(
    case: Case, *, steps: int, rate: float, batch: int, start: float, factor: float, decay: float = 0.0
) -> Tensor:
    """x [p] after so many steps along factor · H x − b."""
    line = case.line
    line.resident.parameters.set(line.anchor)
    b = right_hand_side(line.resident, case.changes)
    x = nn.Parameter(torch.full_like(line.anchor, start))
    optimizer = torch.optim.Adam([x], lr=rate, weight_decay=decay, foreach=False)
    stream = Stream([line.tokens[example.id] for example in line.data.examples], case.seed)
    for _ in range(steps):
        x.grad = factor * hessian_product(line.resident, stream.draw(batch), x.detach()) - b
        optimizer.step()
    return x.detach()
