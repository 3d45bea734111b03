"""How close an influence update comes to a retrain: predicted before, measured after, judged by the line's policy.

Fidelity is a distance in noise floors: 1 is how far two retrains are from each other, and less is closer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from service.domain.adapters import Policy
from service.domain.engine import Grade, InfluenceResult


@dataclass(frozen=True, slots=True)
class Prediction:
    """The grade an update will use and the fidelity to expect of it; None where that was never measured."""

    grade: Grade
    fidelity: float | None


def predict(grades: Sequence[Grade], expected: Mapping[str, float]) -> Prediction | None:
    """The grade that is expected to come closest; the finest where nothing is known, None without any grade.

    Args:
        grades: what the line supports, the plainest first.
        expected: fidelity by grade, as measured on this line.
    """
    known = [Prediction(grade, expected[grade]) for grade in grades if grade in expected]
    if known:
        return min(known, key=lambda prediction: expected[prediction.grade])
    return Prediction(grades[-1], None) if grades else None


def expected_too_far(prediction: Prediction | None, policy: Policy) -> str | None:
    """Why an update should not even be tried, or None."""
    expected = None if prediction is None else prediction.fidelity
    if expected is None or policy.max_fidelity is None or expected <= policy.max_fidelity:
        return None
    return (
        f"An influence update is expected to end {expected:.2f} noise floors from a retrain; "
        f"the policy's max_fidelity is {policy.max_fidelity:.2f}."
    )


def judge(result: InfluenceResult, policy: Policy) -> InfluenceResult:
    """The result with the policy's say: farther from a retrain than `max_fidelity` is a measured failure."""
    if result.fidelity is None or policy.max_fidelity is None or result.fidelity <= policy.max_fidelity:
        return result
    reason = (
        f"The update is {result.fidelity:.2f} noise floors from out-of-fold predictions; "
        f"the policy's max_fidelity is {policy.max_fidelity:.2f}."
    )
    return replace(result, passed=False, reasons=(*result.reasons, reason))
