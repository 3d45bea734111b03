"""What our states are called by the protocols that ask for them. The table is published in webhooks/README.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from service.domain.decisions import RejectionCode
from service.domain.states import Outcome, RequestState

OpenDsrStatus: TypeAlias = Literal["pending", "in_progress", "completed", "cancelled"]


@dataclass(frozen=True, slots=True)
class ForeignState:
    """One of our states in other protocols' words. DRP's reasons follow a slash."""

    opendsr: OpenDsrStatus
    drp: str
    fides: str


# OpenDSR knows no denial; the Data Rights Protocol has no reason for what the law exempts.
REJECTED: Mapping[RejectionCode, ForeignState] = {
    code: ForeignState("cancelled", f"denied/{reason}", "denied")
    for code, reason in (
        (RejectionCode.suspected_fraud, "suspected_fraud"),
        (RejectionCode.insufficient_verification, "insuf_verification"),
        (RejectionCode.no_match, "no_match"),
        (RejectionCode.claim_not_covered, "claim_not_covered"),
        (RejectionCode.outside_jurisdiction, "outside_jurisdiction"),
        (RejectionCode.too_many_requests, "too_many_requests"),
        (RejectionCode.legal_exception, "other"),
        (RejectionCode.other, "other"),
    )
}

S, O = RequestState, Outcome  # noqa: E741 - a table reads best with short names
FOREIGN: Mapping[tuple[RequestState, Outcome | None], ForeignState] = {
    (S.received, None): ForeignState("pending", "open", "pending"),
    (S.awaiting_approval, None): ForeignState("pending", "open", "pending"),
    (S.queued, None): ForeignState("pending", "open", "approved"),
    (S.running, None): ForeignState("in_progress", "in_progress", "in_processing"),
    (S.awaiting_rebuild, None): ForeignState("in_progress", "in_progress", "in_processing"),
    (S.needs_attention, None): ForeignState("in_progress", "in_progress", "error"),
    (S.succeeded, O.done): ForeignState("completed", "fulfilled", "complete"),
    (S.succeeded, O.partial): ForeignState("completed", "fulfilled", "complete"),
    (S.succeeded, O.no_match): ForeignState("completed", "denied/no_match", "complete"),
    (S.rejected, None): REJECTED[RejectionCode.other],
    (S.canceled, None): ForeignState("cancelled", "revoked", "canceled"),
    (S.failed, None): ForeignState("in_progress", "in_progress", "error"),
}
ON_HOLD = ForeignState("pending", "open", "paused")


def foreign_state(
    state: RequestState, outcome: Outcome | None, code: RejectionCode | None, *, on_hold: bool
) -> ForeignState:
    """A held request that is not being worked on is paused, whatever it waits for. `code`: why it was rejected."""
    if state is S.rejected:
        return REJECTED[code or RejectionCode.other]
    if on_hold and state in (S.received, S.awaiting_approval, S.queued):
        return ON_HOLD
    return FOREIGN[state, outcome if state is S.succeeded else None]


def states_table() -> str:
    """The mapping as a Markdown table."""
    rows: list[tuple[str, str, ForeignState]] = []
    for (state, outcome), foreign in FOREIGN.items():
        if state is S.rejected:
            rows.extend((f"`{state}`", code, REJECTED[code]) for code in RejectionCode)
        else:
            rows.append((f"`{state}`", outcome or "", foreign))
    rows.append(("any that waits, on hold", "", ON_HOLD))
    header = ["| state | outcome or reason | OpenDSR | Data Rights Protocol | fides |", "|---|---|---|---|---|"]
    return "\n".join([*header, *(f"| {a} | {b} | {f.opendsr} | {f.drp} | {f.fides} |" for a, b, f in rows)])
