"""Fidelity: which grade to expect how much of, and what the policy says to it."""

from collections.abc import Mapping

import pytest

from service.domain.adapters import Policy
from service.domain.engine import Grade
from service.domain.fidelity import Prediction, expected_too_far, judge, predict
from tests.support.house import influence_result

ALL = tuple(Grade)
END_POINT, TRAJECTORY, OUT_OF_FOLD = ALL


@pytest.mark.parametrize(
    ("grades", "expected", "prediction"),
    [
        ((), {}, None),
        ((), {"end-point": 2.0}, None),
        ((END_POINT,), {}, Prediction(END_POINT, None)),
        (ALL, {}, Prediction(OUT_OF_FOLD, None)),
        (ALL, {"end-point": 2.0, "trajectory": 1.3, "out-of-fold": 0.8}, Prediction(OUT_OF_FOLD, 0.8)),
        (ALL, {"end-point": 2.0, "trajectory": 1.3, "out-of-fold": 1.6}, Prediction(TRAJECTORY, 1.3)),
        (ALL, {"end-point": 2.0}, Prediction(END_POINT, 2.0)),
        ((END_POINT, TRAJECTORY), {"out-of-fold": 0.8, "end-point": 2.0}, Prediction(END_POINT, 2.0)),
    ],
)
def test_the_grade_expected_closest_is_predicted(
    grades: tuple[Grade, ...], expected: Mapping[str, float], prediction: Prediction | None
) -> None:
    assert predict(grades, expected) == prediction


@pytest.mark.parametrize(
    ("prediction", "limit", "too_far"),
    [
        (None, 1.5, False),
        (Prediction(TRAJECTORY, None), 1.5, False),
        (Prediction(TRAJECTORY, 9.0), None, False),
        (Prediction(TRAJECTORY, 1.5), 1.5, False),
        (Prediction(TRAJECTORY, 1.51), 1.5, True),
    ],
)
def test_what_is_expected_too_far_is_not_tried(
    prediction: Prediction | None, limit: float | None, too_far: bool
) -> None:
    reason = expected_too_far(prediction, Policy(max_fidelity=limit))
    assert (reason is not None) is too_far
    assert reason is None or ("1.51" in reason and "1.50" in reason)


@pytest.mark.parametrize(
    ("passed", "fidelity", "limit", "verdict"),
    [
        (True, None, 1.5, True),
        (True, 2.1, None, True),
        (True, 1.5, 1.5, True),
        (None, 1.2, 1.5, None),
        (False, 1.2, 1.5, False),
        (True, 2.1, 1.5, False),
        (None, 2.1, 1.5, False),
        (False, 2.1, 1.5, False),
    ],
)
def test_what_was_measured_too_far_failed(
    passed: bool | None, fidelity: float | None, limit: float | None, verdict: bool | None
) -> None:
    result = influence_result(passed, fidelity=fidelity, reasons=("Measured.",))
    judged = judge(result, Policy(max_fidelity=limit))
    assert judged.passed is verdict
    assert judged.reasons[0] == "Measured."
    if fidelity == 2.1 and limit is not None:
        assert judged.reasons[1:] == (
            "The update is 2.10 noise floors from out-of-fold predictions; the policy's max_fidelity is 1.50.",
        )
    else:
        assert judged == result
