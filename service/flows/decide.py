"""What people decide about a request: approve, reject, cancel, hold, release, extend, retry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from service.domain.clocks import latest_due_at
from service.domain.decisions import RejectionCode, Verb
from service.domain.errors import IllegalTransition, InvalidInput
from service.domain.states import TERMINAL_REQUEST_STATES, RequestState, RunState, TargetState
from service.flows.decisions import note
from service.flows.enqueue import enqueue_target
from service.flows.fail import hand_back, start_over
from service.flows.four_eyes import require_another
from service.flows.lookup import find_request
from service.flows.progress import move_targets
from service.flows.refusal import payload_digest, sign_refusal
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import Target, UnlearningRequest


def approve(unit: Unit, request_id: str, *, actor: str) -> UnlearningRequest:
    """Let a request that waits for approval go on.

    Raises:
        Forbidden: the approver is the creator.
    """
    request = in_state(unit, request_id, RequestState.awaiting_approval, verb="approve")
    require_another(unit, request, actor, verb="approve")
    request.decided_by = actor
    note(unit, request, Verb.approve, actor=actor)
    waiting = [t for t in unit.targets.of_request(request_id) if t.state is TargetState.awaiting_approval]
    move_targets(unit, waiting, TargetState.queued)
    for target in waiting:
        enqueue_target(unit, target)
    unit.audit(actor, "request.approved", request=request_id)
    return request


def reject(
    unit: Unit, vault: Vault, request_id: str, *, actor: str, reason_code: RejectionCode, reason: str
) -> UnlearningRequest:
    """Deny a request that waits for approval, and sign that."""
    request = in_state(unit, request_id, RequestState.awaiting_approval, verb="reject")
    request.decided_by, request.rejection_code = actor, reason_code
    request.refusal = sign_refusal(unit, vault, request, reason_code, actor=actor)
    note(unit, request, Verb.reject, actor=actor, reason_code=reason_code, reason=reason)
    unfinished = [
        t
        for t in unit.targets.of_request(request_id)
        if t.state in (TargetState.awaiting_approval, TargetState.queued)
    ]
    move_targets(unit, unfinished, TargetState.rejected)
    digest = payload_digest(request.refusal)
    unit.audit(actor, "request.rejected", request=request_id, reason_code=reason_code, sha256=digest)
    return request


def cancel(unit: Unit, request_id: str, *, actor: str) -> UnlearningRequest:
    """Call a request off, as long as nothing of it is published. An unpublished run of it is aborted, as by `hold`."""
    request, targets = _locked_with_runs(unit, request_id)
    if not targets or not all(can_be_canceled(target) for target in targets):
        raise _illegal(request, "cancel")
    _stop_runs(unit, targets, reason="cancel")
    move_targets(unit, targets, TargetState.canceled)
    note(unit, request, Verb.cancel, actor=actor)
    unit.audit(actor, "request.canceled", request=request_id)
    return request


def can_be_canceled(target: Target) -> bool:
    """Whether nothing was published for it; what needs attention may have been."""
    unpublished = (TargetState.awaiting_approval, TargetState.queued, TargetState.running)
    return target.state in unpublished or (target.state is TargetState.needs_attention and target.version_id is None)


def hold(unit: Unit, request_id: str, *, actor: str, reason: str | None) -> UnlearningRequest:
    """Stop work on a request. An unpublished run that holds it is aborted and its other members requeued."""
    request, targets = _locked_with_runs(unit, request_id)
    if request.state in TERMINAL_REQUEST_STATES or request.on_hold:
        raise _illegal(request, "hold")
    request.on_hold = True
    note(unit, request, Verb.hold, actor=actor, reason=reason)
    _stop_runs(unit, targets, reason="hold")
    unit.audit(actor, "request.held", request=request_id)
    unit.emit("request.held", request_id=request_id)
    return request


def _stop_runs(unit: Unit, targets: Sequence[Target], *, reason: str) -> None:
    """Abort what runs for these targets, and forget checkpoints that were made with them."""
    for target in targets:
        run = unit.runs.lock(target.run_id) if target.run_id is not None else None
        if run is not None and target.state is TargetState.running:
            run.fence += 1
            hand_back(unit, run, reason=reason, counts=False)
        if run is not None and run.state is RunState.queued:
            start_over(unit, run)


def release(unit: Unit, request_id: str, *, actor: str) -> UnlearningRequest:
    """Let a held request go on."""
    request = _locked(unit, request_id)
    if not request.on_hold:
        raise _illegal(request, "release")
    request.on_hold = False
    note(unit, request, Verb.release, actor=actor)
    unit.session.flush()
    for target in unit.targets.of_request(request_id):
        if target.state is TargetState.queued:
            enqueue_target(unit, target)
    unit.audit(actor, "request.released", request=request_id)
    unit.emit("request.released", request_id=request_id)
    return request


@dataclass(frozen=True, slots=True)
class Extension:
    """A new due date, and why. `zone`: where the legal clock's days are counted."""

    due_at: datetime
    reason: str
    zone: tzinfo


def extend(unit: Unit, request_id: str, extension: Extension, *, actor: str) -> UnlearningRequest:
    """Move the due date, once and before it passes (GDPR article 12(3)).

    Raises:
        InvalidInput: the new date is not later, or later than the regulation allows.
    """
    request, due_at = _locked(unit, request_id), extension.due_at
    if request.state in TERMINAL_REQUEST_STATES or request.extended_at is not None or unit.now >= request.due_at:
        raise _illegal(request, "extend")
    if due_at <= request.due_at:
        raise InvalidInput("The new due date is not later.", field="/due_at", fix="Give a later date.")
    latest = latest_due_at(request.received_at, request.regulation, extension.zone)
    if latest is not None and due_at > latest:
        raise InvalidInput(
            f"The regulation {request.regulation} does not allow a due date after {latest.isoformat()}.",
            field="/due_at",
            fix="Give that date or an earlier one.",
            code="due-too-late",
            extra={"latest": latest.isoformat()},
        )
    # The new date has an alarm of its own.
    request.due_at, request.extended_at, request.due_soon_at = due_at, unit.now, None
    note(unit, request, Verb.extend, actor=actor, reason=extension.reason, due_at=due_at)
    unit.audit(actor, "request.extended", request=request_id, due_at=due_at.isoformat())
    unit.emit("request.extended", request_id=request_id)
    return request


def retry(unit: Unit, request_id: str, *, actor: str) -> UnlearningRequest:
    """Try again what needs attention, as long as its data are there to try again with. Nobody has accepted it yet."""
    request = in_state(unit, request_id, RequestState.needs_attention, verb="retry")
    stuck = [
        target
        for target in unit.targets.of_request(request_id)
        if target.state is TargetState.needs_attention and not is_baked(unit, target)
    ]
    if not stuck:
        raise _illegal(request, "retry")
    move_targets(unit, stuck, TargetState.queued)
    for target in stuck:
        target.run_id = target.acceptance = None
        enqueue_target(unit, target)
    note(unit, request, Verb.retry, actor=actor)
    unit.audit(actor, "request.retried", request=request_id)
    return request


def is_baked(unit: Unit, target: Target) -> bool:
    """Whether the target was answered and the line's anchor has taken that over: nothing is left to solve."""
    return target.version_id is not None and target.id not in unit.ledger.targets_with_tail(target.line_id)


def _locked_with_runs(unit: Unit, request_id: str) -> tuple[UnlearningRequest, Sequence[Target]]:
    """A request and its targets, locked in the order in which workers lock: runs, lines, requests.

    Who publishes, fails or claims a run is waited for, and then seen, instead of each waiting for the other.
    """
    find_request(unit, request_id)
    targets = unit.targets.of_request(request_id)
    for run_id in sorted({target.run_id for target in targets if target.run_id is not None}):
        unit.runs.lock(run_id)
    for line_id in sorted({target.line_id for target in targets}):
        unit.lines.lock(line_id)
    unit.session.expire_all()
    return _locked(unit, request_id), unit.targets.of_request(request_id)


def _locked(unit: Unit, request_id: str) -> UnlearningRequest:
    find_request(unit, request_id)
    request = unit.requests.lock(request_id)
    assert request is not None, "requests are never deleted"
    return request


def in_state(unit: Unit, request_id: str, state: RequestState, *, verb: str) -> UnlearningRequest:
    """The request, locked. Raises IllegalTransition if it is in another state, which does not allow the verb."""
    request = _locked(unit, request_id)
    if request.state is not state:
        raise _illegal(request, verb)
    return request


def _illegal(request: UnlearningRequest, verb: str) -> IllegalTransition:
    return IllegalTransition(
        f"A request that is {request.state}{' and on hold' if request.on_hold else ''} cannot take {verb}.",
        fix="Read the request again and act on its present state.",
        extra={"state": str(request.state), "on_hold": request.on_hold},
    )
