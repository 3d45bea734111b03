"""A few uphill Gauss–Newton steps on what is to be forgotten."""

from dataclasses import dataclass

from torch import Tensor

from workers.bench.cases import Case
from workers.bench.methods.ekfac import DAMPING_SHARE, training_ekfac
from workers.bench.methods.goals import MAX_AMPLITUDE, goal_loss
from workers.engine.amplitude import largest_amplitude
from workers.engine.evaluation import adapter_losses
from workers.engine.predictions import shift
from workers.engine.right_hand_side import right_hand_side

# Retained instances that the KL limit is measured on.
HELD = 64


@dataclass(frozen=True, slots=True)
class KFade:
    """φ ← φ + α (EK-FAC + damping)⁻¹ b(φ), with a fresh gradient b at each of `steps` points.

    In the manner of K-FADE (arXiv:2602.10568), whose own schedule is not public in full: step j goes as far as the
    forgotten's loss needs to cover j/steps of the way to its goal, and no further than the retained's KL from
    the anchor allows. The curvature stays that of the training data at the anchor.
    """

    steps: int = 4

    def __call__(self, case: Case) -> Tensor:
        line, weights = case.line, case.line.anchor
        goal = goal_loss(case)
        line.resident.parameters.set(weights)
        curvature = training_ekfac(case)
        before = float(adapter_losses(line.resident, case.old).mean())
        for step in range(1, self.steps + 1):
            line.resident.parameters.set(weights)
            gradient = right_hand_side(line.resident, case.changes)
            direction = curvature.solve(gradient, DAMPING_SHARE * curvature.mean_eigenvalues())
            wanted = before + step / self.steps * (goal - before)
            weights = weights + self._amplitude(case, weights, direction, wanted) * direction
        return weights

    def _amplitude(self, case: Case, weights: Tensor, direction: Tensor, wanted: float) -> float:
        """How far to go along a direction [p] from weights [p]."""
        line = case.line

        def loss(amplitude: float) -> float:
            line.resident.parameters.set(weights + amplitude * direction)
            return float(adapter_losses(line.resident, case.old).mean())

        def divergence(amplitude: float) -> float:
            return shift(line.resident, held, line.anchor, weights + amplitude * direction).divergence

        held = case.retained[:: max(1, len(case.retained) // HELD)][:HELD]
        # The budget first: far beyond it the loss may fall again, and a reach found there would mean nothing.
        reach = largest_amplitude(divergence, line.preparation.kl_budget, MAX_AMPLITUDE) if held else MAX_AMPLITUDE
        return largest_amplitude(loss, wanted, reach)
