"""What an agent is told of a request (section 3.03)."""

from collections.abc import Mapping

from service.domain.decisions import MEANINGS, Verb
from service.domain.states import Outcome, RequestState
from service.evidence.statements import timestamp
from service.flows.decisions import decisions_of
from service.store.database import Unit
from service.store.tables import UnlearningRequest
from service.webhooks.inbound.states import foreign_state

_DETAILS: Mapping[tuple[RequestState, Outcome | None], str] = {
    (RequestState.awaiting_approval, None): "It waits for approval.",
    (RequestState.needs_attention, None): "Somebody has to look at it.",
    (RequestState.failed, None): "Somebody has to look at it.",
    (RequestState.succeeded, Outcome.partial): "A part of it was called off.",
    (RequestState.succeeded, Outcome.no_match): "Nothing that is about the person was found.",
}


def status(_unit: Unit, request: UnlearningRequest) -> Mapping[str, object]:
    """An Exercise Status object. What is not known or not there is left out."""
    foreign = foreign_state(request.state, request.outcome, request.rejection_code, on_hold=request.on_hold).drp
    state, _, reason = foreign.partition("/")
    known = {
        "request_id": request.id,
        "agent_request_id": _agents_own_id(request),
        "received_at": timestamp(request.received_at),
        "expected_by": timestamp(request.due_at),
        "status": state,
        "reason": reason or None,
        "processing_details": _details(request),
    }
    return {member: value for member, value in known.items() if value is not None}


def _agents_own_id(request: UnlearningRequest) -> str | None:
    """The client reference names the endpoint too, as other agents may use the same id."""
    given = request.client_reference
    return None if given is None else given.removeprefix(f"{request.created_by}:")


def _details(request: UnlearningRequest) -> str | None:
    said = [_DETAILS.get((request.state, request.outcome))]
    if request.rejection_code is not None:
        said.append(MEANINGS[request.rejection_code])
    if request.finished_at is None and request.on_hold:
        said.append("It is on hold.")
    if request.finished_at is None and request.extended_at is not None:
        said.append(f"It takes longer: {_why_extended(request)}")
    return " ".join(filter(None, said)) or None


def _why_extended(request: UnlearningRequest) -> str:
    """The reason that was given for the person (section 3.08), in whose interest the date must not move silently."""
    return next((str(made.reason) for made in decisions_of(request) if made.verb is Verb.extend), "as the law allows.")
