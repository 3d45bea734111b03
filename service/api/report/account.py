"""Everything that a report's page tells of one request, read in one unit of work."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.api.report.measured import Measured, measured
from service.api.schemas.requests import MeasuredRun, ReportRead, RequestRead, TargetReport
from service.api.views.requests import report_read, request_read
from service.domain.acceptance import Acceptance
from service.domain.adapters import ClaimLevel
from service.domain.runs import RunKind
from service.domain.states import TargetState
from service.evidence.plain_words import has_failed, not_claimed
from service.store.database import Unit
from service.store.tables import Certificate, Target, UnlearningRequest


@dataclass(frozen=True, slots=True)
class Remaining:
    """A copy that is still there; `until` None: Lethe cannot know."""

    kind: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Destroyed:
    """A copy that is gone."""

    kind: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Statement:
    """A certificate, and the parts of what it says that the page repeats."""

    id: str
    final: bool
    claim_level: ClaimLevel
    version: str
    digest: str | None
    meaning: str
    not_claimed: str | None
    has_failed: bool
    is_retirement: bool
    supersedes: str | None
    created_at: datetime
    removed: int
    corrected: int
    strategy: str
    engine_version: str
    seconds: Mapping[str, float]
    remaining: Sequence[Remaining]
    destroyed: Sequence[Destroyed]


@dataclass(frozen=True, slots=True)
class LineAccount:
    """One affected adapter line. `statements`: newest first."""

    adapter: str
    state: TargetState
    version: str | None
    claim_level: ClaimLevel | None
    instance_count: int
    shred_by: datetime
    failure: str | None
    acceptance: Acceptance | None
    report: TargetReport
    runs: Sequence[Measured]
    statements: Sequence[Statement]

    @property
    def newest(self) -> Statement | None:
        return self.statements[0] if self.statements else None


@dataclass(frozen=True, slots=True)
class Account:
    """A request as its report tells it. `started`: when each run was taken up."""

    now: datetime
    request: RequestRead
    lines: Sequence[LineAccount]
    started: Mapping[str, datetime]


def account(unit: Unit, request: UnlearningRequest) -> Account:
    """Read it all."""
    report, certificates = report_read(unit, request), unit.requests.certificates(request.id)
    targets = unit.targets.of_request(request.id)
    lines = [
        _line(target, line, [_statement(row) for row in certificates if row.target_id == target.id])
        for target, line in zip(targets, report.targets, strict=True)
    ]
    return Account(unit.now, request_read(unit, request), lines, _started(unit, report))


def _line(target: Target, report: TargetReport, statements: Sequence[Statement]) -> LineAccount:
    return LineAccount(
        adapter=report.adapter,
        state=report.state,
        version=report.version,
        claim_level=report.claim_level,
        instance_count=target.instance_count,
        shred_by=target.shred_by,
        failure=None if target.failure is None else str(target.failure["detail"]),
        acceptance=report.acceptance,
        report=report,
        runs=[_run(run) for run in report.runs],
        statements=statements,
    )


def _run(run: MeasuredRun) -> Measured:
    return measured(run.run, RunKind(run.kind), run.version, run.finished_at, run.seconds, run.measurements)


def _started(unit: Unit, report: ReportRead) -> dict[str, datetime]:
    runs = [unit.runs.get(run.run) for target in report.targets for run in target.runs]
    return {run.id: run.started_at for run in runs if run is not None and run.started_at is not None}


def _statement(row: Certificate) -> Statement:
    said = predicate(row.envelope)
    data, method = said["data"], said["method"]
    return Statement(
        id=row.id,
        final=row.final,
        claim_level=row.claim_level,
        version=str(said["version"]["name"]),
        digest=said["version"]["digest"],
        meaning=str(said["claim"]["meaning"]),
        not_claimed=not_claimed(said),
        has_failed=has_failed(said),
        is_retirement=said.get("retired") is not None,
        supersedes=row.supersedes,
        created_at=row.created_at,
        removed=int(data["removed"]["count"]),
        corrected=int(data["corrected"]["count"]),
        strategy=str(method["strategy"]),
        engine_version=str(method["engine_version"]),
        seconds=method["seconds"],
        remaining=[_remaining(copy) for copy in said["remaining_copies"]],
        destroyed=[_destroyed(copy) for copy in said.get("destroyed_copies", ())],
    )


def _remaining(copy: Mapping[str, str | None]) -> Remaining:
    until = copy["until"]
    return Remaining(str(copy["kind"]), None if until is None else datetime.fromisoformat(until))


def _destroyed(copy: Mapping[str, str]) -> Destroyed:
    return Destroyed(copy["kind"], datetime.fromisoformat(copy["destroyed_at"]))


def predicate(envelope: Mapping[str, Any]) -> Any:
    """What a certificate of our own says; its signature is for others to check."""
    return json.loads(base64.b64decode(envelope["payload"]))["predicate"]
