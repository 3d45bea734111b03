"""What our states are called by the protocols that ask for them. The table is published in webhooks/README.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from service.domain.states import Outcome, RequestState

OpenDsrStatus: TypeAlias = Literal["pending", "in_progress", "completed", "cancelled"]


@dataclass(frozen=True, slots=True)
class ForeignState:
    """One of our states in other protocols' words. DRP's reasons follow a slash."""

    opendsr: OpenDsrStatus
    drp: str
    fides: str


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
    (S.rejected, None): ForeignState("cancelled", "denied/other", "denied"),
    (S.canceled, None): ForeignState("cancelled", "revoked", "canceled"),
    (S.failed, None): ForeignState("in_progress", "in_progress", "error"),
}
ON_HOLD = ForeignState("pending", "open", "paused")


def foreign_state(state: RequestState, outcome: Outcome | None, *, on_hold: bool) -> ForeignState:
    """A held request that is not being worked on is paused, whatever it waits for."""
    if on_hold and state in (S.received, S.awaiting_approval, S.queued):
        return ON_HOLD
    return FOREIGN[state, outcome if state is S.succeeded else None]


def states_table() -> str:
    """The mapping as a Markdown table."""
    rows = ["| state | outcome | OpenDSR | Data Rights Protocol | fides |", "|---|---|---|---|---|"]
    for (state, outcome), foreign in FOREIGN.items():
        rows.append(f"| `{state}` | {outcome or ''} | {foreign.opendsr} | {foreign.drp} | {foreign.fides} |")
    rows.append(f"| any that waits, on hold | | {ON_HOLD.opendsr} | {ON_HOLD.drp} | {ON_HOLD.fides} |")
    return "\n".join(rows)
