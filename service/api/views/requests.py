"""Unlearning requests and their proof, as clients see them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from service.api.schemas.common import Failure
from service.api.schemas.plans import LinePlanRead, NearDuplicateRead, PlanRead
from service.api.schemas.requests import (
    CertificateRead,
    Links,
    MeasuredRun,
    ReplicaReport,
    ReportRead,
    RequestAccepted,
    RequestRead,
    StrategyChoice,
    TargetRead,
    TargetReport,
)
from service.api.views.adapters import version_name
from service.domain.runs import Lane, answering, lane_of
from service.domain.states import TERMINAL_REQUEST_STATES, TargetState
from service.flows.claim import waiting_for
from service.flows.decisions import decisions_of
from service.flows.facts import acceptance_of, replica_facts
from service.flows.plan import Plan
from service.store.database import Unit
from service.store.repositories import NamedTarget
from service.store.tables import Certificate, Run, Target, UnlearningRequest

PATH = "/v1/unlearning-requests"


def request_read(unit: Unit, request: UnlearningRequest) -> RequestRead:
    return requests_read(unit, [request])[0]


def requests_read(unit: Unit, requests: Sequence[UnlearningRequest]) -> list[RequestRead]:
    return [RequestRead.model_validate(members) for members in _members(unit, requests)]


def request_accepted(unit: Unit, request: UnlearningRequest) -> RequestAccepted:
    (members,) = _members(unit, [request])
    return RequestAccepted.model_validate({**members, "receipt": request.receipt})


def _members(unit: Unit, requests: Sequence[UnlearningRequest]) -> Iterator[dict[str, object]]:
    """What a page of requests needs is asked for once: their targets, and every line's queued runs."""
    targets = unit.targets.of_requests([request.id for request in requests])

    @cache
    def wait_of(line_id: str, lane: Lane) -> _Wait:
        run = unit.runs.queued(line_id, lane)
        return _Wait(None, None) if run is None else _Wait(run.not_before, waiting_for(unit, run, {run.pool}))

    for request in requests:
        yield _request(unit, request, [_target(request, one, wait_of) for one in targets.get(request.id, ())])


@dataclass(frozen=True, slots=True)
class _Wait:
    """Until when a queued run waits, and what for."""

    until: datetime | None
    what: str | None


def _request(unit: Unit, request: UnlearningRequest, targets: list[TargetRead]) -> dict[str, object]:
    is_terminal = request.state in TERMINAL_REQUEST_STATES
    return {
        "id": request.id,
        "state": request.state,
        "is_terminal": is_terminal,
        "outcome": request.outcome,
        "on_hold": request.on_hold,
        "urgent": request.urgent,
        "client_reference": request.client_reference,
        "regulation": request.regulation,
        "strategy": request.strategy,
        "operation_counts": request.operation_counts,
        "received_at": request.received_at,
        "ack_due_at": request.ack_due_at,
        "due_at": request.due_at,
        "overdue": not is_terminal and request.due_at < unit.now,
        "extended_at": request.extended_at,
        "created_at": request.created_at,
        "finished_at": request.finished_at,
        "rejection_code": request.rejection_code,
        "decisions": decisions_of(request),
        "targets": targets,
        "failure": _failure(request.failure),
        "links": _links(request),
    }


def _target(request: UnlearningRequest, named: NamedTarget, wait_of: Callable[[str, Lane], _Wait]) -> TargetRead:
    target = named.target
    waits = target.state is TargetState.queued and not request.on_hold
    wait = wait_of(target.line_id, lane_of(answering(target.strategy))) if waits else _Wait(None, None)
    return TargetRead(
        adapter=named.line,
        state=target.state,
        strategy=target.strategy,
        strategy_reason=target.choices[-1]["reason"] if target.choices else None,
        instance_count=target.instance_count,
        run=target.run_id,
        not_before=wait.until,
        waiting_for=wait.what,
        version=None if named.version is None else f"v{named.version}",
        claim_level=target.claim_level,
        shred_by=target.shred_by,
        failure=_failure(target.failure),
    )


def _failure(failure: Mapping[str, object] | None) -> Failure | None:
    return None if failure is None else Failure(code=str(failure["code"]), detail=str(failure["detail"]))


def _links(request: UnlearningRequest) -> Links:
    self = f"{PATH}/{request.id}"
    return Links(
        self=self,
        report=f"{self}/report",
        certificates=f"{self}/certificates",
        receipt=f"{self}/receipt",
        refusal=None if request.refusal is None else f"{self}/refusal",
        swap_receipts=f"{self}/swap-receipts",
        events=f"/v1/events?request={request.id}",
    )


def certificate_read(unit: Unit, row: Certificate) -> CertificateRead:
    return CertificateRead(
        id=row.id,
        adapter=unit.lines.get(unit.targets.get(row.target_id).line_id).name,
        version=str(version_name(unit, row.version_id)),
        run=row.run_id,
        claim_level=row.claim_level,
        final=row.final,
        supersedes=row.supersedes,
        created_at=row.created_at,
        envelope=row.envelope,
    )


def report_read(unit: Unit, request: UnlearningRequest) -> ReportRead:
    certificates = unit.requests.certificates(request.id)
    return ReportRead(
        request=request.id,
        state=request.state,
        targets=[
            TargetReport(
                adapter=unit.lines.get(target.line_id).name,
                state=target.state,
                version=version_name(unit, target.version_id),
                claim_level=target.claim_level,
                acceptance=acceptance_of(target),
                choices=[StrategyChoice.model_validate(choice) for choice in target.choices or ()],
                replicas=_replicas(unit, target),
                runs=_measured(unit, target, [c for c in certificates if c.target_id == target.id]),
            )
            for target in unit.targets.of_request(request.id)
        ],
    )


def _replicas(unit: Unit, target: Target) -> list[ReplicaReport]:
    return [
        ReplicaReport(
            replica=facts.id,
            server=facts.server,
            version=None if facts.version is None else facts.version.partition("@")[2],
            proven_at=facts.proven_at,
            has_swapped=facts.covers,
        )
        for facts in replica_facts(unit, unit.lines.get(target.line_id), target)
    ]


def _measured(unit: Unit, target: Target, certificates: list[Certificate]) -> list[MeasuredRun]:
    """The runs that certificates speak of, those that were given up for another strategy, and the one at work."""
    version_of = {certificate.run_id: certificate.version_id for certificate in reversed(certificates)}
    others = [target.run_id, *(choice["run"] for choice in target.choices or ())]
    run_ids = sorted({*version_of, *filter(None, others)}, reverse=True)
    return [_run(unit, run, version_of.get(run.id)) for run in map(unit.runs.get, run_ids) if run is not None]


def _run(unit: Unit, run: Run, version_id: str | None) -> MeasuredRun:
    return MeasuredRun(
        run=run.id,
        kind=run.kind,
        version=version_name(unit, version_id),
        finished_at=run.finished_at,
        seconds=run.seconds,
        measurements=run.report,
    )


def plan_read(plan: Plan) -> PlanRead:
    return PlanRead(
        lines=[
            LinePlanRead(
                adapter=line.adapter,
                version=f"v{line.version}",
                removals=line.removals,
                corrections=line.corrections,
                exact_duplicates=line.exact_duplicates,
                share=line.share,
                strategy=line.strategy,
                reason=line.reason,
                needs_approval=line.needs_approval,
                retires_line=line.retires_line,
                starts_at=None if line.start is None else line.start.at,
                waiting_for=None if line.start is None else line.start.waits_for,
                estimated_seconds=line.estimated_seconds,
                claim_level=line.claim_level,
                grade=line.grade,
                predicted_fidelity=line.predicted_fidelity,
                near_duplicates=[
                    NearDuplicateRead(instance=one.instance_id, of=one.of, similarity=one.similarity)
                    for one in line.near_duplicates
                ],
            )
            for line in plan.lines
        ],
        unindexed=list(plan.unindexed),
    )
