"""Unlearning requests: file, follow, decide, prove."""

from datetime import tzinfo
from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse

from service.api.actor import Actor
from service.api.auth import Caller
from service.api.context import InContext
from service.api.idempotency import Answer, JsonCreation
from service.api.negotiation import AsHtml
from service.api.problems import problems
from service.api.report import page
from service.api.report.account import account
from service.api.schemas.requests import (
    Acknowledgement,
    CertificateList,
    Extension,
    Hold,
    ReceiptRead,
    RefusalRead,
    Rejection,
    ReportRead,
    RequestAccepted,
    RequestCreate,
    RequestRead,
)
from service.api.schemas.serving_targets import SwapReceiptList
from service.api.views.requests import PATH, certificate_read, report_read, request_accepted, request_read
from service.api.views.serving_targets import swap_receipts
from service.api.visibility import visible_request
from service.domain.errors import NotFound
from service.flows import decide
from service.flows.accept import accept
from service.flows.submit import Submission, submit
from service.store.database import Unit

router = APIRouter(prefix=PATH, tags=["requests"])

RequestId = Annotated[str, Path(max_length=48, description="The request's id.", examples=["req_0192…"])]


def submission(body: RequestCreate, actor: Actor, zone: tzinfo) -> Submission:
    """The body as a flow takes it, kept to the lines that the actor sees."""
    return Submission(
        operations=tuple(body.operations),
        adapters=None if body.adapters is None else tuple(body.adapters),
        strategy=body.strategy,
        client_reference=body.client_reference,
        regulation=body.regulation,
        received_at=body.received_at,
        due_at=body.due_at,
        urgent=body.urgent,
        within=actor.lines,
        zone=zone,
    )


@router.post("", status_code=202, response_model=RequestAccepted, responses=problems(400, 404, 409, 413, 415))
def create_request(body: RequestCreate, context: InContext, actor: Caller, creation: JsonCreation) -> JSONResponse:
    """File an unlearning request. The answer holds a signed receipt."""

    def effect(unit: Unit) -> Answer:
        command = submission(body, actor, context.settings.zone)
        request = submit(unit, context.vault, command, actor=actor.id, body_hash=creation.body_hash)
        return Answer(202, request_accepted(unit, request), f"{PATH}/{request.id}")

    return creation.once(effect)


@router.get("/{request_id}", responses=problems(404))
def get_request(request_id: RequestId, context: InContext, actor: Caller) -> RequestRead:
    """Read a request."""
    with context.store.read() as unit:
        return request_read(unit, visible_request(unit, actor, request_id))


@router.get(
    "/{request_id}/report",
    response_model=ReportRead,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}, **problems(404)},
)
def get_report(
    request_id: RequestId,
    context: InContext,
    actor: Caller,
    as_html: AsHtml,
    response: Response,
) -> ReportRead | Response:
    """Read what was measured for a request, as JSON or as one self-contained HTML page."""
    response.headers["Vary"] = "Accept"
    with context.store.read() as unit:
        request = visible_request(unit, actor, request_id)
        if not as_html:
            return report_read(unit, request)
        told = account(unit, request)
    return page.respond(told)


@router.get("/{request_id}/receipt", responses=problems(404))
def get_receipt(request_id: RequestId, context: InContext, actor: Caller) -> ReceiptRead:
    """Read the signed receipt of a request."""
    with context.store.read() as unit:
        request = visible_request(unit, actor, request_id)
        return ReceiptRead(request=request.id, envelope=request.receipt)


@router.get("/{request_id}/refusal", responses=problems(404))
def get_refusal(request_id: RequestId, context: InContext, actor: Caller) -> RefusalRead:
    """Read the signed refusal of a request that was rejected. It tells the reason's code, and no free text."""
    with context.store.read() as unit:
        request = visible_request(unit, actor, request_id)
        if request.refusal is None:
            raise NotFound("The request was not rejected.", field="request_id", code="not-rejected")
        return RefusalRead(request=request.id, envelope=request.refusal)


@router.get("/{request_id}/certificates", responses=problems(404))
def list_certificates(request_id: RequestId, context: InContext, actor: Caller) -> CertificateList:
    """List the signed certificates of a request, newest first."""
    with context.store.read() as unit:
        request = visible_request(unit, actor, request_id)
        rows = unit.requests.certificates(request.id)
        return CertificateList(items=[certificate_read(unit, row) for row in rows])


@router.get("/{request_id}/swap-receipts", responses=problems(404))
def list_swap_receipts(request_id: RequestId, context: InContext, actor: Caller) -> SwapReceiptList:
    """List the signed receipts of inference replicas that serve a version which covers the request."""
    with context.store.read() as unit:
        return SwapReceiptList(items=list(swap_receipts(unit, visible_request(unit, actor, request_id))))


@router.post("/{request_id}/approve", responses=problems(404, 409))
def approve_request(request_id: RequestId, context: InContext, actor: Caller) -> RequestRead:
    """Let a request that waits for approval go on. Its creator may not."""
    with context.store.write() as unit:
        visible_request(unit, actor, request_id)
        return request_read(unit, decide.approve(unit, request_id, actor=actor.id))


@router.post("/{request_id}/reject", responses=problems(400, 404, 409, 413, 415))
def reject_request(request_id: RequestId, body: Rejection, context: InContext, actor: Caller) -> RequestRead:
    """Deny a request that waits for approval, with a signed refusal."""
    with context.store.write() as unit:
        visible_request(unit, actor, request_id)
        request = decide.reject(
            unit, context.vault, request_id, actor=actor.id, reason_code=body.reason_code, reason=body.reason
        )
        return request_read(unit, request)


@router.post("/{request_id}/accept", responses=problems(400, 404, 409, 413, 415))
def accept_request(request_id: RequestId, body: Acknowledgement, context: InContext, actor: Caller) -> RequestRead:
    """Let the outcome of a request that needs attention stand, although it falls short. Its creator may not.

    What was published below the policy's claim level stands as it is. What measurably failed was not published: the
    update is made again and published whatever it measures. The claim level stays what was measured; the certificates
    name the key, the shortfall and the reason. Where nothing was measured there is nothing to accept.
    """
    with context.store.write() as unit:
        visible_request(unit, actor, request_id)
        return request_read(unit, accept(unit, context.vault, request_id, actor=actor.id, reason=body.reason))


@router.post("/{request_id}/cancel", responses=problems(404, 409))
def cancel_request(request_id: RequestId, context: InContext, actor: Caller) -> RequestRead:
    """Call a request off before anything of it is published. A run that works on it is aborted."""
    with context.store.write() as unit:
        visible_request(unit, actor, request_id)
        return request_read(unit, decide.cancel(unit, request_id, actor=actor.id))


@router.post("/{request_id}/hold", responses=problems(400, 404, 409, 413, 415))
def hold_request(request_id: RequestId, context: InContext, actor: Caller, body: Hold | None = None) -> RequestRead:
    """Stop work on a request. What was not published yet is undone."""
    with context.store.write() as unit:
        visible_request(unit, actor, request_id)
        reason = None if body is None else body.reason
        return request_read(unit, decide.hold(unit, request_id, actor=actor.id, reason=reason))


@router.post("/{request_id}/release", responses=problems(404, 409))
def release_request(request_id: RequestId, context: InContext, actor: Caller) -> RequestRead:
    """Let a held request go on."""
    with context.store.write() as unit:
        visible_request(unit, actor, request_id)
        return request_read(unit, decide.release(unit, request_id, actor=actor.id))


@router.post("/{request_id}/extend", responses=problems(400, 404, 409, 413, 415))
def extend_request(request_id: RequestId, body: Extension, context: InContext, actor: Caller) -> RequestRead:
    """Move the due date, once, before it passes, and no further than the regulation allows."""
    with context.store.write() as unit:
        visible_request(unit, actor, request_id)
        extension = decide.Extension(body.due_at, body.reason, context.settings.zone)
        return request_read(unit, decide.extend(unit, request_id, extension, actor=actor.id))


@router.post("/{request_id}/retry", responses=problems(404, 409))
def retry_request(request_id: RequestId, context: InContext, actor: Caller) -> RequestRead:
    """Try again what needs attention."""
    with context.store.write() as unit:
        visible_request(unit, actor, request_id)
        return request_read(unit, decide.retry(unit, request_id, actor=actor.id))
