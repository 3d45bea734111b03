"""The claim levels, as a table: what a claim rests on, and what may therefore be said."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.adapters import CLAIM_ORDER, ClaimLevel, Policy, Strategy
from service.domain.claims import (
    CALIBRATION_LIFETIME,
    DEFAULT_TOLERANCE,
    Basis,
    Calibration,
    claim_level,
    lowest,
    reachable,
)
from service.domain.runs import RunKind

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ENGINE = "1.0"
FRESH = Calibration(NOW - timedelta(days=1), ENGINE)
OLD = Calibration(NOW - CALIBRATION_LIFETIME - timedelta(days=1), ENGINE)
FOREIGN = Calibration(NOW, "0.9")
E, C, M, I = ClaimLevel.exact, ClaimLevel.calibrated, ClaimLevel.measured, ClaimLevel.inconclusive  # noqa: E741


def update(passed: bool | None, fidelity: float | None = None, calibration: Calibration | None = None) -> Basis:
    return Basis(RunKind.influence, passed=passed, fidelity=fidelity, calibration=calibration)


@pytest.mark.parametrize(
    ("basis", "max_fidelity", "level"),
    [
        pytest.param(Basis(RunKind.rebuild, recorded=True), None, E, id="a rebuild by its record"),
        pytest.param(Basis(RunKind.train, recorded=True), None, E, id="a training without the data"),
        pytest.param(Basis(RunKind.rebuild, recorded=True, passed=None), None, E, id="a rebuild needs no verdict"),
        pytest.param(Basis(RunKind.rebuild), None, I, id="a rebuild that nobody could repeat"),
        pytest.param(Basis(RunKind.train), None, I, id="a training that nobody could repeat"),
        pytest.param(update(True), None, M, id="passed, never calibrated"),
        pytest.param(update(True, 0.8), None, M, id="a distance without references is hearsay"),
        pytest.param(update(True, None, FRESH), None, M, id="references, but no distance"),
        pytest.param(update(True, DEFAULT_TOLERANCE, FRESH), None, C, id="as far as the default allows"),
        pytest.param(update(True, DEFAULT_TOLERANCE + 0.01, FRESH), None, M, id="farther than the default"),
        pytest.param(update(True, 1.9, FRESH), 2.0, C, id="within the policy's tolerance"),
        pytest.param(update(True, 1.1, FRESH), 1.0, M, id="the policy is stricter than the default"),
        pytest.param(update(True, 0.8, OLD), None, M, id="references too old"),
        pytest.param(update(True, 0.8, FOREIGN), None, M, id="references of another engine"),
        pytest.param(update(None, 0.8, FRESH), None, I, id="inconclusive stays so, however close"),
        pytest.param(update(False, 0.8, FRESH), None, I, id="failed, but published for want of better"),
        pytest.param(update(None), None, I, id="inconclusive"),
        pytest.param(update(False), None, I, id="failed"),
        pytest.param(Basis(RunKind.collapse, before=E), None, M, id="a collapse is never exact"),
        pytest.param(Basis(RunKind.collapse, before=C), None, M, id="nor calibrated: its references are gone"),
        pytest.param(Basis(RunKind.collapse, before=M), None, M, id="it keeps what was measured"),
        pytest.param(Basis(RunKind.collapse, before=I), None, I, id="it makes nothing better"),
        pytest.param(Basis(RunKind.collapse, recorded=True, before=M), None, M, id="a recipe does not help it"),
        pytest.param(Basis(RunKind.import_, recorded=True, before=M), None, M, id="nobody saw how an import was made"),
        pytest.param(Basis(RunKind.import_, before=None), None, I, id="an import of unknown history"),
    ],
)
def test_a_claim_is_no_higher_than_what_it_rests_on(
    basis: Basis, max_fidelity: float | None, level: ClaimLevel
) -> None:
    assert claim_level(basis, Policy(max_fidelity=max_fidelity), now=NOW, engine_version=ENGINE) is level


@pytest.mark.parametrize(
    ("strategies", "has_holdout", "level"),
    [
        ({Strategy.rebuild, Strategy.influence}, False, E),
        ({Strategy.rebuild}, True, E),
        ({Strategy.influence}, True, M),
        ({Strategy.influence}, False, I),
    ],
)
def test_what_a_request_can_reach(strategies: set[Strategy], has_holdout: bool, level: ClaimLevel) -> None:
    assert reachable(frozenset(strategies), has_holdout=has_holdout) is level


def test_the_least_of_several_levels() -> None:
    assert [lowest((one, M)) for one in CLAIM_ORDER] == [I, M, M, M]
