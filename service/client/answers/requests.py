"""Unlearning requests: plans, states, reports, evidence, and the runs that serve them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from service.client.answers.common import Answer, Failure
from service.domain.adapters import ClaimLevel


class NearDuplicate(Answer):
    """An instance that would stay, and the one that would go and is most like it; `similarity` 0 to 1."""

    instance: str
    of: str
    similarity: float


class LinePlan(Answer):
    adapter: str
    version: str
    removals: int
    corrections: int
    exact_duplicates: int
    share: float
    strategy: str
    reason: str
    needs_approval: bool
    retires_line: bool
    starts_at: datetime | None = None
    waiting_for: str | None = None
    estimated_seconds: float | None = None
    claim_level: ClaimLevel
    grade: str | None = None
    predicted_fidelity: float | None = None
    near_duplicates: list[NearDuplicate] = Field(default_factory=list)


class Plan(Answer):
    """What a request would do."""

    lines: list[LinePlan]
    unindexed: list[str] = Field(default_factory=list)


class Target(Answer):
    """One line that a request affects."""

    adapter: str
    state: str
    strategy: str | None = None
    strategy_reason: str | None = None
    instance_count: int = 0
    run: str | None = None
    not_before: datetime | None = None
    waiting_for: str | None = None
    version: str | None = None
    claim_level: ClaimLevel | None = None
    shred_by: datetime | None = None
    failure: Failure | None = None


class Links(Answer):
    """Paths of what belongs to a request."""

    self: str
    report: str
    certificates: str
    receipt: str
    refusal: str | None = None
    swap_receipts: str
    events: str


class Decision(Answer):
    """What a person decided about a request, and why; `due_at`: the new due date of an extension."""

    verb: str
    by: str
    at: datetime
    reason_code: str | None = None
    reason: str | None = None
    due_at: datetime | None = None


class Request(Answer):
    """An unlearning request."""

    id: str
    state: str
    is_terminal: bool
    outcome: str | None = None
    on_hold: bool = False
    urgent: bool = False
    client_reference: str | None = None
    regulation: str | None = None
    strategy: str | None = None
    operation_counts: dict[str, int] = Field(default_factory=dict)
    received_at: datetime | None = None
    ack_due_at: datetime | None = None
    due_at: datetime
    overdue: bool = False
    extended_at: datetime | None = None
    created_at: datetime
    finished_at: datetime | None = None
    rejection_code: str | None = None
    decisions: list[Decision] = Field(default_factory=list)
    targets: list[Target] = Field(default_factory=list)
    failure: Failure | None = None
    links: Links


class AcceptedRequest(Request):
    """A request as it was filed; `receipt` is a DSSE envelope."""

    receipt: Mapping[str, Any]


class Receipt(Answer):
    request: str
    envelope: Mapping[str, Any]


class Refusal(Answer):
    request: str
    envelope: Mapping[str, Any]


class Certificate(Answer):
    """A signed statement on a request and one line; `envelope` is a DSSE envelope."""

    id: str
    adapter: str
    version: str
    run: str
    claim_level: ClaimLevel
    final: bool
    supersedes: str | None = None
    created_at: datetime
    envelope: Mapping[str, Any]


class MeasuredRun(Answer):
    """A run; `measurements` as its engine reported them."""

    run: str
    kind: str
    version: str | None = None
    finished_at: datetime | None = None
    seconds: dict[str, float] | None = None
    measurements: dict[str, Any] | None = None


class Choice(Answer):
    """How a line came to a strategy."""

    strategy: str
    escalated_from: str | None = None
    reason: str
    run: str | None = None
    decided_at: datetime | None = None


class Acceptance(Answer):
    """That a person accepted an outcome which falls short."""

    by: str
    at: datetime
    shortfall: str
    reason: str


class ReplicaReport(Answer):
    """An inference replica that Lethe drives; `has_swapped`: whether what it serves covers the request."""

    replica: str
    server: str
    version: str | None = None
    proven_at: datetime | None = None
    has_swapped: bool


class LineReport(Answer):
    adapter: str
    state: str
    version: str | None = None
    claim_level: ClaimLevel | None = None
    acceptance: Acceptance | None = None
    choices: list[Choice] = Field(default_factory=list)
    replicas: list[ReplicaReport] = Field(default_factory=list)
    runs: list[MeasuredRun] = Field(default_factory=list)


class Report(Answer):
    request: str
    state: str
    targets: list[LineReport]


class Figures(Answer):
    """Requests, counted; days from receipt to answer, None if nothing was answered."""

    received: int
    complied: int
    denied: int
    no_match: int
    canceled: int
    failed: int
    open: int
    overdue: int
    in_time: int
    late: int
    mean_days: float | None = None
    median_days: float | None = None


class RegulationFigures(Figures):
    regulation: str | None = None


class OperationFigures(Figures):
    operation: str


class Denials(Answer):
    reason_code: str
    count: int


class Summary(Answer):
    """Figures of the requests that were received in a period."""

    received_after: datetime | None = None
    received_before: datetime | None = None
    total: Figures
    by_regulation: list[RegulationFigures]
    by_operation: list[OperationFigures]
    denials: list[Denials]


class Run(Answer):
    """One execution on one line; `progress` is the share of the stage that is done."""

    id: str
    adapter: str
    kind: str
    strategy: str | None = None
    state: str
    is_terminal: bool
    stage: str | None = None
    progress: float = 0.0
    attempt: int = 0
    not_before: datetime | None = None
    waiting_for: str | None = None
    because: str | None = None
    requests: list[str] = Field(default_factory=list)
    version: str | None = None
    seconds: dict[str, float] | None = None
    failure: Failure | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
