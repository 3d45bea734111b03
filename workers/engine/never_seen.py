"""What loss an instance would have if it had never been trained on: the level that forgetting aims at."""

from dataclasses import dataclass

from torch import Tensor

# With fewer never-seen instances a slope is noise.
ENOUGH_FOR_SLOPE = 20


@dataclass(frozen=True, slots=True)
class NeverSeenLevel:
    """The adapter's loss on never-seen data as a line in the bare base's loss: intercept + slope · base loss.

    The base's loss says how hard an instance is; the base never saw it, so the level owes nothing to
    memory. `deviation` is the standard deviation of an instance about the line.
    """

    intercept: float
    slope: float
    deviation: float

    @classmethod
    def fit(cls, base: Tensor, adapted: Tensor) -> "NeverSeenLevel":
        """Least squares through holdout losses [n] of the base and of the adapter; n ≥ 1.

        The slope is kept within [0, 1]: harder stays harder, and training narrows differences.
        """
        base, adapted = base.double(), adapted.double()
        slope = 0.0
        centred = base - base.mean()
        if len(base) >= ENOUGH_FOR_SLOPE and bool(centred.any()):
            slope = min(1.0, max(0.0, float(centred @ (adapted - adapted.mean()) / (centred @ centred))))
        intercept = float(adapted.mean()) - slope * float(base.mean())
        return cls(intercept, slope, float((adapted - intercept - slope * base).square().mean().sqrt()))

    def mean(self, base: Tensor) -> float:
        """The expected mean loss of instances whose loss under the base is `base` [m]."""
        return self.intercept + self.slope * float(base.double().mean())
