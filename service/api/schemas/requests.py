"""Unlearning requests: what is asked, what came of it, and the proof."""

from datetime import datetime

from pydantic import Field

from service.api.schemas.common import Failure, Input, JsonObject, Output
from service.domain.acceptance import Acceptance
from service.domain.adapters import ClaimLevel, LineName, Strategy
from service.domain.clocks import Moment
from service.domain.decisions import Decision, RejectionCode
from service.domain.operations import Operation
from service.domain.scalars import Flag
from service.domain.serving import ServerKind
from service.domain.states import Outcome, RequestState, TargetState

Reason = Field(min_length=1, max_length=500, description="Why, for the record.", examples=["identity not proven"])


class RequestCreate(Input):
    """What must be forgotten or corrected. The same body asks for a plan."""

    operations: list[Operation] = Field(
        max_length=10_000,
        description="What to do; all of it becomes one new version a line.",
        examples=[[{"type": "remove", "select": {"subject": "user-123"}}]],
        json_schema_extra={"minItems": 1},
    )
    adapters: list[LineName] | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="Lines it concerns; without them, every line that holds a match.",
        examples=[["support-bot"]],
    )
    strategy: Strategy | None = Field(default=None, description="Overrides the line's default.", examples=["auto"])
    client_reference: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Your own id of the request; unique.",
        examples=["DSR-4711"],
    )
    regulation: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z0-9_]{0,31}$",
        description="Whose clock runs: `gdpr`, `uk_gdpr` (a month), `ccpa`, `cpra` (45 days), or another (30 days).",
        examples=["gdpr"],
    )
    received_at: Moment | None = Field(
        default=None, description="When you received it; the clock starts here. Default: now."
    )
    due_at: Moment | None = Field(default=None, description="When it is due; default: by the regulation.")
    urgent: Flag = Field(
        default=False,
        description="Neither the policy's window nor its quiet hours hold it back, nor what shares its run. A request "
        "whose due date is near becomes so by itself.",
    )


class TargetRead(Output):
    """One line that the request affects."""

    adapter: str = Field(description="The line.", examples=["support-bot"])
    state: TargetState = Field(description="How far it is there.", examples=["succeeded"])
    strategy: Strategy = Field(description="How it is answered there.", examples=["influence"])
    strategy_reason: str | None = Field(
        description="Why so; after an escalation, what failed before.", examples=["As requested."]
    )
    instance_count: int = Field(description="Instances it touches, duplicates included.", examples=[12])
    run: str | None = Field(description="The run that serves it.", examples=["run_0192…"])
    not_before: datetime | None = Field(
        description="While it waits for a run: when that may begin at the earliest; null: at once."
    )
    waiting_for: str | None = Field(
        description="Why no worker may begin that run yet: the policy's `window` or `quiet_hours`, an anchor, another "
        "run.",
        examples=["window"],
    )
    version: str | None = Field(description="The version that answers it.", examples=["v2"])
    claim_level: ClaimLevel | None = Field(description="What may be said of that version.", examples=["M"])
    shred_by: datetime = Field(description="When the sealed data are destroyed at the latest.")
    failure: Failure | None = Field(description="What went wrong.")


class Links(Output):
    self: str = Field(description="This request.", examples=["/v1/unlearning-requests/req_0192…"])
    report: str = Field(description="Measurements.", examples=["/v1/unlearning-requests/req_0192…/report"])
    certificates: str = Field(description="Signed statements.")
    receipt: str = Field(description="Signed proof of receipt.")
    refusal: str | None = Field(description="Signed proof of rejection; null unless it was rejected.")
    swap_receipts: str = Field(description="Signed proof of what inference replicas serve.")
    events: str = Field(description="What happens to it.", examples=["/v1/events?request=req_0192…"])


class RequestRead(Output):
    """An unlearning request."""

    id: str = Field(description="The request's id.", examples=["req_0192f1c4a1b27c3d8e4f5a6b7c8d9e0f"])
    state: RequestState = Field(description="Treat an unknown state as not final.", examples=["running"])
    is_terminal: bool = Field(description="Whether the state is final.", examples=[False])
    outcome: Outcome | None = Field(description="What success amounts to.", examples=["done"])
    on_hold: bool = Field(description="Whether work on it is stopped.", examples=[False])
    urgent: bool = Field(description="Whether it was filed as urgent.", examples=[False])
    client_reference: str | None = Field(description="Your own id.", examples=["DSR-4711"])
    regulation: str | None = Field(description="Whose clock runs.", examples=["gdpr"])
    strategy: Strategy | None = Field(description="The strategy asked for.", examples=["auto"])
    operation_counts: dict[str, int] = Field(description="Operations by type.", examples=[{"remove": 1}])
    received_at: datetime = Field(description="When the clock started.")
    ack_due_at: datetime | None = Field(
        description="When the data subject must have been told that it was received; null if the law sets no date."
    )
    due_at: datetime = Field(description="When it must be answered.")
    overdue: bool = Field(description="Whether it is open past its due date.", examples=[False])
    extended_at: datetime | None = Field(description="When the due date was moved.")
    created_at: datetime = Field(description="When it was filed here.")
    finished_at: datetime | None = Field(description="When it became final.")
    rejection_code: RejectionCode | None = Field(description="Why it was rejected.", examples=["no_match"])
    decisions: list[Decision] = Field(description="What people decided about it and why, oldest first.")
    targets: list[TargetRead] = Field(description="The affected lines.")
    failure: Failure | None = Field(description="What needs attention.")
    links: Links = Field(description="Where to go on.")


class RequestAccepted(RequestRead):
    receipt: JsonObject = Field(description="Signed proof of receipt: an in-toto statement in a DSSE envelope.")


class Rejection(Input):
    reason_code: RejectionCode = Field(
        default=RejectionCode.other, description="Why, as it is counted in reports.", examples=["no_match"]
    )
    reason: str = Reason


class Acknowledgement(Input):
    reason: str = Field(
        min_length=1,
        max_length=500,
        description="Why it may stand. The certificates quote it: name nobody.",
        examples=["three greetings, nothing personal"],
    )


class Hold(Input):
    reason: str | None = Field(default=None, min_length=1, max_length=500, description="Why.", examples=["litigation"])


class Extension(Input):
    due_at: Moment = Field(
        description="The new due date. At most three months after receipt under `gdpr` and `uk_gdpr`, 90 days under "
        "`ccpa` and `cpra`.",
        examples=["2026-03-01T00:00:00Z"],
    )
    reason: str = Reason


class CertificateRead(Output):
    """A signed statement on the request and one line."""

    id: str = Field(description="The certificate's id.", examples=["cert_0192…"])
    adapter: str = Field(description="The line.", examples=["support-bot"])
    version: str = Field(description="The version it speaks of.", examples=["v2"])
    run: str = Field(description="The run it speaks of.", examples=["run_0192…"])
    claim_level: ClaimLevel = Field(description="What it claims.", examples=["M"])
    final: bool = Field(description="False for an interim one, which a rebuild will supersede.", examples=[False])
    supersedes: str | None = Field(description="The certificate it replaces.", examples=["cert_0192…"])
    created_at: datetime = Field(description="When it was issued.")
    envelope: JsonObject = Field(description="The statement in a DSSE envelope; verify with /.well-known/jwks.json.")


class CertificateList(Output):
    items: list[CertificateRead] = Field(description="Newest first.")


class ReceiptRead(Output):
    request: str = Field(description="The request.", examples=["req_0192…"])
    envelope: JsonObject = Field(description="The receipt in a DSSE envelope.")


class RefusalRead(Output):
    request: str = Field(description="The request.", examples=["req_0192…"])
    envelope: JsonObject = Field(description="The refusal in a DSSE envelope.")


class MeasuredRun(Output):
    run: str = Field(description="The run.", examples=["run_0192…"])
    kind: str = Field(description="What it did.", examples=["influence"])
    version: str | None = Field(description="The version it made.", examples=["v2"])
    finished_at: datetime | None = Field(description="When it ended.")
    seconds: dict[str, float] | None = Field(description="Seconds a stage.", examples=[{"solving": 0.8}])
    measurements: JsonObject | None = Field(
        description="Losses before and after, and what was concluded. Of an update also its `grade` of preparation, "
        "its `fidelity` (distance from out-of-fold predictions; 1 is as far as another retrain) and its `drift` "
        "(relative gap between predicted and measured change)."
    )


class StrategyChoice(Output):
    """How a line came to a strategy."""

    strategy: Strategy = Field(description="What was chosen.", examples=["rebuild"])
    escalated_from: Strategy | None = Field(
        description="What had been tried before; null for the first choice.", examples=["influence"]
    )
    reason: str = Field(
        description="Why.",
        examples=["The update is 2.10 noise floors from out-of-fold predictions; the policy's max_fidelity is 1.50."],
    )
    run: str | None = Field(description="The run that failed before; null for the first choice.")
    decided_at: datetime = Field(description="When.")


class ReplicaReport(Output):
    """An inference replica that Lethe drives."""

    replica: str = Field(description="Its id.", examples=["rep_0192…"])
    server: ServerKind = Field(description="What kind of server it is.", examples=["vllm"])
    version: str | None = Field(description="The version that it was last proven to serve.", examples=["v2"])
    proven_at: datetime | None = Field(description="When.")
    has_swapped: bool = Field(description="Whether that version covers the request.", examples=[True])


class TargetReport(Output):
    adapter: str = Field(description="The line.", examples=["support-bot"])
    state: TargetState = Field(description="How far it is there.", examples=["succeeded"])
    version: str | None = Field(description="The version that answers it.", examples=["v3"])
    claim_level: ClaimLevel | None = Field(description="What may be said of it.", examples=["E"])
    acceptance: Acceptance | None = Field(
        description="That a person accepted an outcome which falls short; null if nobody did or had to."
    )
    choices: list[StrategyChoice] = Field(description="How it came to its strategy: first choice, then escalations.")
    replicas: list[ReplicaReport] = Field(description="The inference replicas that Lethe drives, as they are now.")
    runs: list[MeasuredRun] = Field(description="The runs that answered it or tried to, newest first.")


class ReportRead(Output):
    """What was measured for a request."""

    request: str = Field(description="The request.", examples=["req_0192…"])
    state: RequestState = Field(description="Its state.", examples=["succeeded"])
    targets: list[TargetReport] = Field(description="The affected lines.")
