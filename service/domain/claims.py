"""What may be said of a version: the rules that give it its claim level, and nothing else decides it.

E: it was retrained here by its recorded recipe. C: it was updated, passed, and measured close to retrained reference
adapters of the same anchor, lately and by this engine. M: it was updated and passed. I: whatever else was published.
A version that takes over another one's weights (a collapse, an import) can claim no more than was claimed of those.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.adapters import CLAIM_ORDER, ClaimLevel, Policy, Strategy
from service.domain.engine import InfluenceResult
from service.domain.runs import RunKind

# The farthest from retrained references, in units of their distance from each other, that still counts as agreement
# where the policy's `max_fidelity` does not say.
DEFAULT_TOLERANCE = 1.5
# How old retrained references may be: longer, and other data, drivers and habits have changed around them.
CALIBRATION_LIFETIME = timedelta(days=180)

_RETRAINED = (RunKind.train, RunKind.rebuild)
_TAKEN_OVER = (RunKind.collapse, RunKind.import_)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Retrained reference adapters of an anchor: when the last of them was trained, and by which engine."""

    at: datetime
    engine_version: str


@dataclass(frozen=True, slots=True)
class Basis:
    """What a claim rests on.

    Args:
        kind: how the version was made.
        recorded: whether the recipe is known from which it was, or could be, made again.
        passed: the verification's verdict; None if it could not tell, or if there was none.
        fidelity: distance from retrained references on the forgotten instances; None if it was not measured.
        calibration: the references; None if there are not enough of them.
        before: what was claimed of the weights that were taken over.
    """

    kind: RunKind
    recorded: bool = False
    passed: bool | None = None
    fidelity: float | None = None
    calibration: Calibration | None = None
    before: ClaimLevel | None = None


def basis_of(result: InfluenceResult, calibration: Calibration | None) -> Basis:
    """What the claim of an influence update rests on."""
    return Basis(RunKind.influence, passed=result.passed, fidelity=result.fidelity, calibration=calibration)


def claim_level(basis: Basis, policy: Policy, *, now: datetime, engine_version: str) -> ClaimLevel:
    """The highest level that the rules allow."""
    if basis.kind in _RETRAINED and basis.recorded:
        return ClaimLevel.exact
    if basis.kind in _TAKEN_OVER:
        return lowest((basis.before or ClaimLevel.inconclusive, ClaimLevel.measured))
    if basis.kind is not RunKind.influence or basis.passed is not True:
        return ClaimLevel.inconclusive
    recent = _is_recent(basis.calibration, now=now, engine_version=engine_version)
    tolerance = DEFAULT_TOLERANCE if policy.max_fidelity is None else policy.max_fidelity
    if recent and basis.fidelity is not None and basis.fidelity <= tolerance:
        return ClaimLevel.calibrated
    return ClaimLevel.measured


def lowest(levels: Iterable[ClaimLevel]) -> ClaimLevel:
    """The least of several levels."""
    return min(levels, key=CLAIM_ORDER.index)


def reachable(strategies: frozenset[Strategy], *, has_holdout: bool) -> ClaimLevel:
    """The level that a request can reach in the end, on a line that supports these strategies.

    Without never-seen instances there is nothing that an update's losses could be compared with.
    """
    if Strategy.rebuild in strategies:
        return ClaimLevel.exact
    return ClaimLevel.measured if has_holdout else ClaimLevel.inconclusive


def _is_recent(calibration: Calibration | None, *, now: datetime, engine_version: str) -> bool:
    return (
        calibration is not None
        and calibration.engine_version == engine_version
        and now - calibration.at <= CALIBRATION_LIFETIME
    )
