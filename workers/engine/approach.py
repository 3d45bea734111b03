"""The way to the targets: a few quasi-Newton steps in the metric of what must stay.

They minimise over φ, from the anchor φ₀,

    mean aᵢ fᵢ(φ) + λ/2 (φ − φ₀)ᵀ C (φ − φ₀)

where fᵢ is KL(target ‖ ·) for what is to be forgotten and the loss above its goal for what is to be known, and C is
the curvature that stays. The second term is what the sketch predicts to change in the retained instances, so
that none of them has to pass through the model. The first step is the influence step C⁻¹b for these objectives;
the next ones start from where it led. L-BFGS (Nocedal & Wright 2006, algorithm 7.4) with C⁻¹ for its initial inverse
Hessian learns the curvature of the objectives from their gradients alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from workers.engine.curvature import Curvature
from workers.engine.losses import instance_losses, label_logits
from workers.engine.predictions import mean_per_instance
from workers.engine.resident import Resident
from workers.engine.right_hand_side import dropout_off
from workers.engine.solve import Factorised
from workers.engine.tokens import Tokens, collate
from workers.engine.top_predictions import TopPredictions, joined

# What a nat of predicted change in one retained instance weighs against one in one aim.
EACH_RETAINED = 3.0
# The first step asks for this part of the objective; later ones have their length from L-BFGS.
FIRST_STEP = 0.6
# A step is halved until it brings this part of its slope's promise (Armijo), at most so often.
ARMIJO, MAX_HALVINGS = 0.1, 3
# Gradients of one instance that a step costs each aim.
STEP_COST = 1.0


@dataclass(frozen=True, slots=True)
class Forgotten:
    """An instance to be answered as `target` says."""

    tokens: Tokens
    target: TopPredictions
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Taught:
    """A content to be known as well as training data: its loss matters down to `level`."""

    tokens: Tokens
    level: float


Aim: TypeAlias = Forgotten | Taught


@dataclass(frozen=True, slots=True)
class Approached:
    """The weights [p] afterwards, the steps taken, the relative residual ‖Cx − b‖/‖b‖ of the first, the objectives'
    mean before and after, and what the sketch predicts to have changed in the retained, in nats."""

    parameters: Tensor
    steps: int
    residual: float
    before: float
    after: float
    predicted_change: float


def approach(
    resident: Resident, aims: Sequence[Aim], curvature: Curvature, anchor: Tensor, *, steps: int, retained: int
) -> Approached:
    """At most `steps` steps from the anchor's weights [p]; fewer where none brings anything more.

    λ is 3 times the number of `retained` instances, over that of the aims: either side counts as a sum over instances.
    Costs each aim a gradient a step, and one more for every halving. Memory: 16p bytes a step beside a solve.
    """
    weight = EACH_RETAINED * retained / max(1, len(aims))
    objective = _Objective(resident, aims, anchor, Factorised(curvature), weight)
    present = objective.at(Moved(torch.zeros_like(anchor), torch.zeros_like(anchor)))
    first, history, taken = present, list[_Turn](), 0
    for _ in range(steps):
        direction = _direction(present, history)
        slope = float(present.gradient @ direction.delta)
        length = 1.0 if history else FIRST_STEP * present.value / slope if slope > 0 else 0.0
        reached = _line_search(objective, present, direction, slope, length)
        if reached is None:
            break
        history.append(_Turn.between(present, reached))
        present, taken = reached, taken + 1
        history = [turn for turn in history if turn.convexity > 0]
    residual = float((curvature.apply(first.preconditioned.double()) - first.gradient).norm())
    return Approached(
        parameters=anchor + present.moved.delta,
        steps=taken,
        residual=residual / max(float(first.gradient.norm()), torch.finfo(torch.float32).tiny),
        before=first.aims,
        after=present.aims,
        predicted_change=present.moved.change,
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """A move δ [p] from the anchor, and C δ. Whatever is known of both is so of their linear combinations, so that
    the rows of C are gone through once a step."""

    delta: Tensor
    image: Tensor

    @property
    def change(self) -> float:
        """½ δᵀ C δ."""
        return float(self.delta @ self.image) / 2

    def plus(self, other: "Moved", factor: float) -> "Moved":
        return Moved(self.delta + factor * other.delta, self.image + factor * other.image)


@dataclass(frozen=True, slots=True)
class _Point:
    """Where a step led: the aims' mean, the value and the gradient g [p] of the whole objective, and C⁻¹ g."""

    moved: Moved
    aims: float
    value: float
    gradient: Tensor
    preconditioned: Tensor


@dataclass(frozen=True, slots=True)
class _Turn:
    """A step as L-BFGS remembers it: the move s with C s, the change y of the gradient [p], and C⁻¹ y."""

    moved: Moved
    turned: Tensor
    preconditioned: Tensor

    @classmethod
    def between(cls, one: _Point, other: _Point) -> "_Turn":
        turned, preconditioned = other.gradient - one.gradient, other.preconditioned - one.preconditioned
        return cls(other.moved.plus(one.moved, -1.0), turned, preconditioned)

    @property
    def convexity(self) -> float:
        """sᵀy, which a quasi-Newton matrix needs to be positive."""
        return float(self.moved.delta @ self.turned)


def _direction(present: _Point, history: Sequence[_Turn]) -> Moved:
    """H g by the two-loop recursion with H₀ = γ C⁻¹, γ as the latest step has it; and C H g."""
    remainder, preconditioned, factors = present.gradient, present.preconditioned, list[float]()
    for turn in reversed(history):
        factors.append(float(turn.moved.delta @ remainder) / turn.convexity)
        remainder = remainder - factors[-1] * turn.turned
        preconditioned = preconditioned - factors[-1] * turn.preconditioned
    scale = 1.0
    if history:
        scale = history[-1].convexity / float(history[-1].turned @ history[-1].preconditioned)
    found = Moved(scale * preconditioned, scale * remainder)
    for turn, factor in zip(history, reversed(factors), strict=True):
        found = found.plus(turn.moved, factor - float(turn.turned @ found.delta) / turn.convexity)
    return found


def _line_search(
    objective: "_Objective", present: _Point, direction: Moved, slope: float, length: float
) -> _Point | None:
    """Where the first of the lengths ℓ, ℓ/2, … leads that brings what it should; None if none does."""
    for _ in range(MAX_HALVINGS + 1):
        if length > 0:
            reached = objective.at(present.moved.plus(direction, -length))
            if reached.value <= present.value - ARMIJO * length * slope:
                return reached
        length /= 2
    return None


@dataclass(frozen=True, slots=True)
class _Objective:
    resident: Resident
    aims: Sequence[Aim]
    anchor: Tensor
    inverse: Factorised
    weight: float

    def at(self, moved: Moved) -> _Point:
        """Value and gradient at a move from the anchor."""
        weights = self.anchor + moved.delta

        def accumulate(size: int) -> tuple[float, Tensor]:
            self.resident.parameters.zero_grad()
            self.resident.parameters.set(weights)
            total = 0.0
            with dropout_off(self.resident.model):
                for part in _parts(self.aims, size):
                    value = _value(self.resident, part) / len(self.aims)
                    value.backward()  # type: ignore[no-untyped-call]
                    total += value.item()
            found = self.resident.parameters.gradient()
            self.resident.parameters.zero_grad()
            return total, found

        aims, gradient = self.resident.micro_batch.attempt(accumulate)
        return _Point(
            moved=moved,
            aims=aims,
            value=aims + self.weight * moved.change,
            gradient=gradient + self.weight * moved.image,
            # C⁻¹ C δ is known without a solve.
            preconditioned=self.inverse(gradient).to(gradient) + self.weight * moved.delta,
        )


def _parts(aims: Sequence[Aim], size: int) -> list[Sequence[Aim]]:
    """Micro-batches of one kind of aim each."""
    kinds = [[aim for aim in aims if isinstance(aim, kind)] for kind in (Forgotten, Taught)]
    return [kind[start : start + size] for kind in kinds for start in range(0, len(kind), size)]


def _value(resident: Resident, part: Sequence[Aim]) -> Tensor:
    """Σ aᵢ fᵢ of a micro-batch, with its graph."""
    batch = collate([aim.tokens for aim in part], resident.pad_id).to(resident.device)
    taught = [aim for aim in part if isinstance(aim, Taught)]
    if taught:
        losses = instance_losses(resident.model, batch)
        return (losses - losses.new_tensor([aim.level for aim in taught])).clamp(min=0).sum()
    forgotten = [aim for aim in part if isinstance(aim, Forgotten)]
    logits, instance = label_logits(resident.model, batch)
    expected = joined([aim.target for aim in forgotten]).to(resident.device)
    apart = mean_per_instance(expected.kl(logits.log_softmax(-1)), instance, len(forgotten))
    return apart @ apart.new_tensor([aim.weight for aim in forgotten])
