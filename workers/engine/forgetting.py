"""How far to move along the solved step: a trust region measured by forward passes.

The full step reaches the goal but disturbs what stays, more than in proportion to its length. So the
update starts with half of it, lets the polish do the other half with the full step as its teacher, and then
makes up what is still missing by a last short move along the same step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from workers.engine.amplitude import largest_amplitude
from workers.engine.evaluation import adapter_losses, base_losses
from workers.engine.predictions import shift
from workers.engine.preparation import Preparation
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens

# The goal leans equally on two estimates of the never-seen loss, whose errors have little in common.
INFLUENCE_SHARE = 0.5
# Where the update starts, and where it ends, on the way from the anchor's loss to the goal. It ends short
# of the goal, because the goal is an estimate and going past it is a failure too.
START_SHARE, END_SHARE = 0.5, 0.95
# KL on retained instances that a move may cost, as a share of what memorising is worth in loss.
KL_SHARE = 0.1
# Amplitudes are looked for up to this many times the calibrated one.
REACH = 4.0


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What is to be forgotten from the anchor's weights [p], along which step [p], to which mean loss.

    `before` and `goal` are None where nothing is removed. `calibrated` is the amplitude α that pseudo-requests
    needed; `kl_budget` is in nats a label token on `retained`.
    """

    removed: Sequence[Tokens]
    retained: Sequence[Tokens]
    anchor: Tensor
    step: Tensor
    calibrated: float
    kl_budget: float
    before: float | None
    goal: float | None

    @classmethod
    def plan(
        cls,
        resident: Resident,
        preparation: Preparation,
        removed: Sequence[Tokens],
        retained: Sequence[Tokens],
        anchor: Tensor,
        step: Tensor,
    ) -> "Forgetting":
        """Sets the goal: the mean of what never-seen data of the same difficulty have and what the calibrated
        step itself predicts for these instances, and never above what never-seen data reach.

        Without a holdout, the bare base model's own loss stands in for the ceiling.
        """
        calibrated = preparation.calibration.amplitude
        before = goal = None
        if removed:
            resident.parameters.set(anchor)
            base, before = base_losses(resident, removed), float(adapter_losses(resident, removed).mean())
            resident.parameters.set(anchor + calibrated * step)
            predicted = float(adapter_losses(resident, removed).mean())
            if preparation.never_seen is None:
                goal = min(predicted, float(base.mean()))
            else:
                goal = INFLUENCE_SHARE * predicted + (1 - INFLUENCE_SHARE) * preparation.never_seen.mean(base)
                goal = min(goal, preparation.never_seen.ceiling(base))
            goal = max(goal, before)
        return cls(removed, retained, anchor, step, calibrated, kl_budget(preparation), before, goal)

    def teacher(self, resident: Resident) -> float:
        """The amplitude that reaches the goal, whatever it costs elsewhere."""
        return self._reach(resident, self.anchor, 1.0)

    def start(self, resident: Resident) -> float:
        """The amplitude that goes half the way, as far as the KL budget lets it."""
        amplitude = self._reach(resident, self.anchor, START_SHARE) if self.removed else START_SHARE * self.calibrated
        return self._within_budget(resident, self.anchor, amplitude)

    def starts_within_budget(self, resident: Resident) -> bool:
        """Whether the step goes half the way without disturbing what stays by more than the KL budget."""
        amplitude = self._reach(resident, self.anchor, START_SHARE)
        return self._within_budget(resident, self.anchor, amplitude) == amplitude

    def settle(self, resident: Resident, weights: Tensor) -> float:
        """The further amplitude from polished weights [p] that reaches the end of the way, within the KL budget."""
        if not self.removed:
            return 0.0
        return self._within_budget(resident, weights, self._reach(resident, weights, END_SHARE))

    def _reach(self, resident: Resident, origin: Tensor, share: float) -> float:
        if self.before is None or self.goal is None:
            return 0.0

        def loss(amplitude: float) -> float:
            resident.parameters.set(origin + amplitude * self.step)
            return float(adapter_losses(resident, self.removed).mean())

        return largest_amplitude(loss, self.before + share * (self.goal - self.before), REACH * self.calibrated)

    def _within_budget(self, resident: Resident, origin: Tensor, amplitude: float) -> float:
        if not self.retained:
            return amplitude

        def divergence(scale: float) -> float:
            return shift(resident, self.retained, self.anchor, origin + scale * self.step).divergence

        return largest_amplitude(divergence, self.kl_budget, amplitude)


def kl_budget(preparation: Preparation) -> float:
    """KL on retained instances, nats a label token: a tenth of the loss that memorising took off them."""
    level = preparation.training_level
    unseen = preparation.never_seen_level
    return KL_SHARE * (level if unseen is None else max(unseen - level, 0.0))
