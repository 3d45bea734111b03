"""The claim level of what a run made: gathers what the rules of `service.domain.claims` ask for."""

from datetime import datetime

from service.domain.adapters import ClaimLevel
from service.domain.claims import Basis, Calibration, basis_of, claim_level
from service.domain.engine import InfluenceResult
from service.domain.runs import RunKind
from service.domain.version import ENGINE_VERSION
from service.flows.strategy import can_rebuild, policy_of
from service.store.database import Unit
from service.store.tables import Line, Target, Version


def level_of_answer(unit: Unit, line: Line, anchor: Version, result: InfluenceResult) -> ClaimLevel:
    """What may be said of an influence update from this anchor."""
    basis = basis_of(result, calibration_of(anchor))
    return claim_level(basis, policy_of(line), now=unit.now, engine_version=ENGINE_VERSION)


def level_of_anchor(unit: Unit, line: Line, anchor: Version, kind: RunKind, target: Target) -> ClaimLevel:
    """What may be said of a new anchor about a target that it covers; before it, `target.claim_level` was said."""
    basis = Basis(kind, recorded=can_rebuild(anchor), before=target.claim_level)
    return claim_level(basis, policy_of(line), now=unit.now, engine_version=ENGINE_VERSION)


def calibration_of(anchor: Version) -> Calibration | None:
    """The leave-group-out adapters that updates of this anchor are measured against, dated by the oldest."""
    folds = anchor.out_of_fold or []
    if not folds or any("trained_at" not in fold for fold in folds):
        return None
    engines = {fold["engine_version"] for fold in folds}
    return Calibration(
        at=min(datetime.fromisoformat(fold["trained_at"]) for fold in folds),
        engine_version=engines.pop() if len(engines) == 1 else "several",
    )
