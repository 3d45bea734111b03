"""The state machines, as data: what may follow what, and what is final.

Verifying and publishing are stages of a run, not states. A hold is a flag on a request.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from service.domain.errors import IllegalTransition


class RequestState(StrEnum):
    received = "received"
    awaiting_approval = "awaiting_approval"
    queued = "queued"
    running = "running"
    awaiting_rebuild = "awaiting_rebuild"
    needs_attention = "needs_attention"
    succeeded = "succeeded"
    rejected = "rejected"
    canceled = "canceled"
    failed = "failed"


class TargetState(StrEnum):
    """One affected line of a request. `published`: answered, below the policy's claim level."""

    awaiting_approval = "awaiting_approval"
    queued = "queued"
    running = "running"
    awaiting_rebuild = "awaiting_rebuild"
    needs_attention = "needs_attention"
    succeeded = "succeeded"
    rejected = "rejected"
    canceled = "canceled"
    failed = "failed"


class RunState(StrEnum):
    queued = "queued"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    canceled = "canceled"


class VersionState(StrEnum):
    """`quarantined`: never served, but kept because the line is still solved from it."""

    preparing = "preparing"
    ready = "ready"
    rejected = "rejected"
    quarantined = "quarantined"
    withdrawn = "withdrawn"


class Outcome(StrEnum):
    done = "done"
    no_match = "no_match"
    partial = "partial"


T = TargetState
TARGET_TRANSITIONS: Mapping[TargetState, frozenset[TargetState]] = {
    T.awaiting_approval: frozenset({T.queued, T.rejected, T.canceled}),
    T.queued: frozenset({T.running, T.canceled, T.rejected, T.needs_attention}),
    T.running: frozenset({T.queued, T.awaiting_rebuild, T.succeeded, T.needs_attention, T.failed, T.canceled}),
    T.awaiting_rebuild: frozenset({T.succeeded, T.needs_attention}),
    T.needs_attention: frozenset({T.queued, T.succeeded, T.failed, T.canceled}),
    T.succeeded: frozenset(),
    T.rejected: frozenset(),
    T.canceled: frozenset(),
    T.failed: frozenset(),
}

TERMINAL_REQUEST_STATES = frozenset(
    {RequestState.succeeded, RequestState.rejected, RequestState.canceled, RequestState.failed}
)

# Ended without an answer: nothing was erased, and nothing will be.
NEVER_SERVED = frozenset({T.rejected, T.canceled, T.failed})

# The least advanced target speaks for the request, except that trouble is shown first.
_PRECEDENCE = (
    T.needs_attention,
    T.awaiting_approval,
    T.running,
    T.queued,
    T.awaiting_rebuild,
    T.failed,
    T.succeeded,
    T.rejected,
    T.canceled,
)


def check_target_transition(current: TargetState, to: TargetState) -> None:
    """Raises IllegalTransition unless `to` may follow `current`."""
    if to not in TARGET_TRANSITIONS[current]:
        raise IllegalTransition(
            f"A target that is {current} cannot become {to}.",
            fix="Read the request again and act on its present state.",
            extra={"state": str(current)},
        )


def request_state(targets: Iterable[TargetState]) -> RequestState:
    """The state of a request, given those of its targets (at least one)."""
    present = set(targets)
    return RequestState(next(state for state in _PRECEDENCE if state in present))


def request_outcome(targets: Iterable[TargetState]) -> Outcome:
    """The outcome of a succeeded request: `partial` if some lines were not served."""
    return Outcome.done if set(targets) == {T.succeeded} else Outcome.partial
