"""What people decide about a request: approve, reject, cancel, hold, release, extend, retry."""

from datetime import datetime

from service.domain.errors import IllegalTransition, InvalidInput
from service.domain.states import TERMINAL_REQUEST_STATES, RequestState, RunState, TargetState
from service.flows.enqueue import enqueue_target
from service.flows.fail import hand_back, start_over
from service.flows.four_eyes import require_another
from service.flows.lookup import find_request
from service.flows.progress import move_targets
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
    waiting = [t for t in unit.targets.of_request(request_id) if t.state is TargetState.awaiting_approval]
    move_targets(unit, waiting, TargetState.queued)
    for target in waiting:
        enqueue_target(unit, target)
    unit.audit(actor, "request.approved", request=request_id)
    return request


def reject(unit: Unit, request_id: str, *, actor: str, reason: str) -> UnlearningRequest:
    """Deny a request that waits for approval."""
    request = in_state(unit, request_id, RequestState.awaiting_approval, verb="reject")
    request.decided_by, request.reason = actor, reason
    unfinished = [
        t
        for t in unit.targets.of_request(request_id)
        if t.state in (TargetState.awaiting_approval, TargetState.queued)
    ]
    move_targets(unit, unfinished, TargetState.rejected)
    unit.audit(actor, "request.rejected", request=request_id)
    return request


def cancel(unit: Unit, request_id: str, *, actor: str) -> UnlearningRequest:
    """Call a request off, as long as no worker has claimed any of it."""
    request = _locked(unit, request_id)
    targets = unit.targets.of_request(request_id)
    allowed = (TargetState.awaiting_approval, TargetState.queued, TargetState.needs_attention)
    if not targets or any(target.state not in allowed for target in targets):
        raise _illegal(request, "cancel")
    for target in targets:
        run = unit.runs.lock(target.run_id) if target.run_id is not None else None
        if run is not None and run.state is RunState.queued:
            start_over(unit, run)
    move_targets(unit, targets, TargetState.canceled)
    unit.audit(actor, "request.canceled", request=request_id)
    return request


def hold(unit: Unit, request_id: str, *, actor: str, reason: str | None) -> UnlearningRequest:
    """Stop work on a request. An unpublished run that holds it is aborted and its other members requeued."""
    request = _locked(unit, request_id)
    if request.state in TERMINAL_REQUEST_STATES or request.on_hold:
        raise _illegal(request, "hold")
    request.on_hold, request.reason = True, reason
    for target in unit.targets.of_request(request_id):
        run = unit.runs.lock(target.run_id) if target.run_id is not None else None
        if run is not None and target.state is TargetState.running:
            run.fence += 1
            hand_back(unit, run, reason="hold", counts=False)
        if run is not None and run.state is RunState.queued:
            start_over(unit, run)
    unit.audit(actor, "request.held", request=request_id)
    unit.emit("request.held", request_id=request_id)
    return request


def release(unit: Unit, request_id: str, *, actor: str) -> UnlearningRequest:
    """Let a held request go on."""
    request = _locked(unit, request_id)
    if not request.on_hold:
        raise _illegal(request, "release")
    request.on_hold = False
    unit.session.flush()
    for target in unit.targets.of_request(request_id):
        if target.state is TargetState.queued:
            enqueue_target(unit, target)
    unit.audit(actor, "request.released", request=request_id)
    unit.emit("request.released", request_id=request_id)
    return request


def extend(unit: Unit, request_id: str, *, due_at: datetime, reason: str, actor: str) -> UnlearningRequest:
    """Move the due date, once and before it passes (GDPR article 12(3)).

    Raises:
        InvalidInput: the new date is not later.
    """
    request = _locked(unit, request_id)
    if request.state in TERMINAL_REQUEST_STATES or request.extended_at is not None or unit.now >= request.due_at:
        raise _illegal(request, "extend")
    if due_at <= request.due_at:
        raise InvalidInput("The new due date is not later.", field="/due_at", fix="Give a later date.")
    request.due_at, request.extended_at, request.reason = due_at, unit.now, reason
    unit.audit(actor, "request.extended", request=request_id, due_at=due_at.isoformat())
    unit.emit("request.extended", request_id=request_id)
    return request


def retry(unit: Unit, request_id: str, *, actor: str) -> UnlearningRequest:
    """Try again what needs attention, as long as its data are there to try again with. Nobody has accepted it yet."""
    request = in_state(unit, request_id, RequestState.needs_attention, verb="retry")
    stuck = [
        target
        for target in unit.targets.of_request(request_id)
        if target.state is TargetState.needs_attention and not _is_baked(unit, target)
    ]
    if not stuck:
        raise _illegal(request, "retry")
    move_targets(unit, stuck, TargetState.queued)
    for target in stuck:
        target.run_id = target.acceptance = None
        enqueue_target(unit, target)
    unit.audit(actor, "request.retried", request=request_id)
    return request


def _is_baked(unit: Unit, target: Target) -> bool:
    """Whether the target was answered and the line's anchor has taken that over: nothing is left to solve."""
    return target.version_id is not None and target.id not in unit.ledger.targets_with_tail(target.line_id)


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
