"""Serving targets and swap receipts, as clients see them."""

from collections.abc import Iterator

from service.api.schemas.serving_targets import (
    Limits,
    ReplicaFailure,
    ReplicaRead,
    ReplicaState,
    ServingTargetRead,
    SwapReceiptRead,
)
from service.api.views.adapters import version_name
from service.store.database import Unit
from service.store.tables import Replica, ServingTarget, SwapReceipt, UnlearningRequest


def target_read(unit: Unit, row: ServingTarget) -> ServingTargetRead:
    return ServingTargetRead(
        id=row.id,
        name=row.name,
        kind=row.kind,
        state="active" if row.leaving_at is None else "leaving",
        lines=row.lines,
        alias=row.alias,
        mount=row.mount,
        precision=row.precision,
        limits=Limits(max_lora_rank=row.max_lora_rank, target_modules=row.target_modules),
        has_api_key=row.ciphertext is not None,
        created_at=row.created_at,
        replicas=[_replica(unit, row, replica) for replica in unit.serving.replicas_of(row.id)],
    )


def _replica(unit: Unit, target: ServingTarget, row: Replica) -> ReplicaRead:
    alias = None if target.leaving_at is not None else unit.lines.alias(row.line_id, target.alias)
    desired = None if alias is None else alias.version_id
    return ReplicaRead(
        id=row.id,
        url=row.url,
        adapter=unit.lines.get(row.line_id).name,
        state=_state(row, desired),
        desired=version_name(unit, desired),
        desired_at=row.desired_at,
        proven=version_name(unit, row.proven_id),
        proven_at=row.proven_at,
        outcome=row.outcome,
        loaded=[f"v{number}" for number in sorted(unit.versions.get(held).number for held in row.held)],
        step=row.step,
        failure=None if row.error is None else _failure(row.error),
        attempts=row.attempts,
        checked_at=row.checked_at,
        due_at=row.due_at,
    )


def _state(row: Replica, desired: str | None) -> ReplicaState:
    """As the metrics count it."""
    if row.attempts > 0:
        return "failing"
    return "current" if row.checked_at is not None and row.proven_id == desired else "behind"


def _failure(error: dict[str, object]) -> ReplicaFailure:
    return ReplicaFailure(code=str(error["code"]), detail=str(error["detail"]), permanent=bool(error["refused"]))


def swap_receipts(unit: Unit, request: UnlearningRequest) -> Iterator[SwapReceiptRead]:
    """Of versions that cover the request, on every line that it affects."""
    for target in unit.targets.of_request(request.id):
        covering = unit.ledger.highest_seq(target.id)
        if covering is not None:
            yield from (_receipt(unit, row) for row in unit.serving.receipts(target.line_id, covering))


def _receipt(unit: Unit, row: SwapReceipt) -> SwapReceiptRead:
    return SwapReceiptRead(
        id=row.id,
        adapter=unit.lines.get(row.line_id).name,
        version=str(version_name(unit, row.version_id)),
        replica=row.replica_id,
        outcome=row.outcome,
        seconds=row.seconds,
        created_at=row.created_at,
        envelope=row.envelope,
    )
