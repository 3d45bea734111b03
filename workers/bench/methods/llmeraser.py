"""LLMEraser (arXiv:2412.00383): the influence equation as a stochastic quadratic programme.

min over x of ½ xᵀ H x − bᵀ x, with Hessian products of mini-batches of the training set and Adam on x;
the update is φ = φ₀ + x (section 3.3, algorithm 1). The paper names no learning rate, steps, batch size or damping.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.bench.cases import Case
from workers.bench.methods.descent import Stream
from workers.bench.methods.goals import along, goal_loss
from workers.bench.methods.hessian import hessian_products
from workers.engine.evaluation import adapter_losses
from workers.engine.gradients import weighted_gradient
from workers.engine.predictions import shift
from workers.engine.right_hand_side import right_hand_side

# Retained instances that the choice of the learning rate looks at.
WATCHED = 32


@dataclass(frozen=True, slots=True)
class AsWritten:
    """The programme solved with many steps, at the best of several learning rates; `damping` is added to H.

    So many `passes` over the training set, in at most `most_steps` steps of a mini-batch each.

    Tuned without any oracle: of the rates, and of each x as it is and at the length at which the forgotten reach the
    loss of never-seen data, what leaves them closest to that loss, plus the change that it makes to what is retained.
    """

    passes: int = 6
    most_steps: int = 2000
    rates: tuple[float, ...] = (1e-5, 1e-4, 1e-3)
    batch: int = 1
    damping: float = 0.0

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        b = right_hand_side(line.resident, case.changes)
        goal = goal_loss(case)
        found: list[tuple[float, Tensor]] = []
        answers = (answer for x in self._solve(case, b) for answer in (line.anchor + x, along(case, x)))
        for answer in answers:
            line.resident.parameters.set(answer)
            missed = abs(float(adapter_losses(line.resident, case.old).mean()) - goal)
            harm = shift(line.resident, case.retained[:WATCHED], line.anchor, answer).divergence
            found.append((missed + harm, answer))
        return min(found, key=lambda pair: pair[0])[1]

    def _solve(self, case: Case, b: Tensor) -> Tensor:
        """x [k, p] for each rate; all of them see the same mini-batches."""
        product = _products(case, self.batch)
        steps = min(self.passes * len(case.line.data.examples) // self.batch, self.most_steps)
        return minimise(
            lambda x: product(x) + self.damping * x,
            b,
            torch.zeros(len(self.rates), len(b), device=b.device),
            steps=steps,
            rates=self.rates,
            decay=0.0,
        )


@dataclass(frozen=True, slots=True)
class AsReleased:
    """The authors' code at its defaults (commit 01ea45c): Adam from x = 1e-5, one instance a step, dropout on.

    It detaches the product from its graph before it differentiates ½ xᵀ(H x) − bᵀ x, so that the gradient holds
    half of H x, and the fixed point is twice the solution.
    """

    steps: int = 20
    rate: float = 1e-5
    decay: float = 1e-5
    start: float = 1e-5
    calibrated: bool = False

    def __call__(self, case: Case) -> Tensor:
        line = case.line
        with dropout_on(line.resident.model, case.seed):
            b = self._right_hand_side(case)
            product = _products(case, batch=1)
            start = torch.full_like(b, self.start)[None]
            (x,) = minimise(lambda x: product(x) / 2, b, start, steps=self.steps, rates=(self.rate,), decay=self.decay)
        return along(case, x) if self.calibrated else line.anchor + x

    def _right_hand_side(self, case: Case) -> Tensor:
        """b [p] in the model's present mode: old and new see different dropout."""
        tokens = [*case.old, *case.new]
        old = [change.weight for change in case.changes]
        new = [-change.weight for change in case.changes if change.new is not None]
        return weighted_gradient(case.line.resident, tokens, [*old, *new])


def minimise(
    product: Callable[[Tensor], Tensor],
    b: Tensor,
    start: Tensor,
    *,
    steps: int,
    rates: Sequence[float],
    decay: float,
) -> Tensor:
    """Each x of [k, p] after so many steps of Adam along product(x) − b, from `start` [k, p], at a rate of its own.

    Memory: 16kp bytes.
    """
    every = [nn.Parameter(one.clone()) for one in start]
    groups = [{"params": [x], "lr": rate} for x, rate in zip(every, rates, strict=True)]
    optimizer = torch.optim.Adam(groups, weight_decay=decay, foreach=False)
    for _ in range(steps):
        images = product(torch.stack([x.detach() for x in every]))
        for x, image in zip(every, images, strict=True):
            x.grad = image - b
        optimizer.step()
    return torch.stack([x.detach() for x in every])


@contextmanager
def dropout_on(model: nn.Module, seed: int) -> Iterator[None]:
    """Every dropout layer on, from a seed of its own; the rest of the model keeps its mode."""
    switched = [module for module in model.modules() if isinstance(module, nn.Dropout) and not module.training]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in switched:
            module.train()
        try:
            yield
        finally:
            for module in switched:
                module.eval()


def _products(case: Case, batch: int) -> Callable[[Tensor], Tensor]:
    """x ↦ H x of each x [k, p] at the anchor, every time on another mini-batch of the training set."""
    line = case.line
    line.resident.parameters.set(line.anchor)
    stream = Stream([line.tokens[example.id] for example in line.data.examples], case.seed)
    return lambda x: hessian_products(line.resident, stream.draw(batch), x)
