"""What becomes of a canary, as a table."""

from collections.abc import Mapping

import pytest
from pydantic import ValidationError

from service.domain.canary import Bound, CanaryRules, Verdict, decide

ERRORS = Bound(metric="error_rate", at_most=0.02)
SCORE = Bound(metric="score", at_least=0.8)


@pytest.mark.parametrize(
    ("bounds", "age_s", "measured", "is_overdue", "verdict", "reasons"),
    [
        ((), 0, {}, False, Verdict.wait, ("hold",)),
        ((), 60, {}, False, Verdict.promote, ()),
        ((ERRORS,), 60, {}, False, Verdict.wait, ("unmeasured:error_rate",)),
        ((ERRORS,), 60, {"error_rate": 0.02}, False, Verdict.promote, ()),
        ((ERRORS,), 59, {"error_rate": 0.0}, False, Verdict.wait, ("hold",)),
        ((ERRORS,), 0, {"error_rate": 0.03}, False, Verdict.abort, ("violated:error_rate",)),
        ((ERRORS, SCORE), 60, {"error_rate": 0.01, "score": 0.7}, False, Verdict.abort, ("violated:score",)),
        ((ERRORS, SCORE), 60, {"error_rate": 0.01}, False, Verdict.wait, ("unmeasured:score",)),
        ((ERRORS,), 0, {}, True, Verdict.promote, ("unmeasured:error_rate", "hold")),
        ((ERRORS,), 60, {"error_rate": 1.0}, True, Verdict.abort, ("violated:error_rate",)),
        ((), 60, {"something_else": 9.0}, False, Verdict.promote, ()),
    ],
)
def test_decisions(
    bounds: tuple[Bound, ...],
    age_s: float,
    measured: Mapping[str, float],
    is_overdue: bool,
    verdict: Verdict,
    reasons: tuple[str, ...],
) -> None:
    decision = decide(CanaryRules(hold_s=60, bounds=bounds), age_s=age_s, measured=measured, is_overdue=is_overdue)
    assert (decision.verdict, decision.reasons) == (verdict, reasons)


def test_a_bound_bounds_something() -> None:
    with pytest.raises(ValidationError, match="at_most"):
        Bound(metric="error_rate")


@pytest.mark.parametrize("weight", [0.0, 1.0, 1.5])
def test_a_canary_is_a_part(weight: float) -> None:
    with pytest.raises(ValidationError):
        CanaryRules(weight=weight)
