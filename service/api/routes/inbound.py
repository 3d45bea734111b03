"""Deliveries of privacy platforms. Each proves by its signature where it comes from; API keys are not asked for."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from service.api.context import InContext
from service.api.deliveries import Delivered
from service.api.problems import problems
from service.api.schemas.inbound import InboundAnswer
from service.webhooks.inbound.payload import MAX_BYTES
from service.webhooks.inbound.pipeline import receive
from service.webhooks.inbound.provider import Ignored

router = APIRouter(prefix="/v1/inbound", tags=["inbound"])

_BODY = {
    "requestBody": {
        "required": True,
        "description": f"What the provider sends, at most {MAX_BYTES} bytes.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


@router.post(
    "/{provider}/{endpoint_id}",
    status_code=202,
    responses={
        200: {"description": "Verified, and nothing to do.", "model": InboundAnswer},
        **problems(400, 401, 403, 404, 409, 410, 413, 422, 500, 503),
    },
    openapi_extra=_BODY,
)
def receive_delivery(
    provider: Annotated[str, Path(max_length=63, description="Who sends.", examples=["standard_webhooks"])],
    endpoint_id: Annotated[str, Path(max_length=48, description="The endpoint's id.", examples=["inb_0192…"])],
    delivery: Delivered,
    context: InContext,
    response: Response,
) -> InboundAnswer:
    """File what a privacy platform asks for. Answered when it is committed; a repetition finds the same request."""
    outcome = receive(context.store, context.vault, provider, endpoint_id, delivery, zone=context.settings.zone)
    if isinstance(outcome, Ignored):
        response.status_code = 200
        return InboundAnswer(
            request=None, state=None, due_at=None, repeated=False, ignored=outcome.reason, receipt=None
        )
    return InboundAnswer(
        request=outcome.request,
        state=outcome.state,
        due_at=outcome.due_at,
        repeated=outcome.is_repeated,
        ignored=None,
        receipt=outcome.receipt,
    )
