"""What was sent to a webhook endpoint, what came of it, and sending it again."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse

from service.api.auth import Caller
from service.api.context import InContext
from service.api.idempotency import Answer, JsonCreation
from service.api.paging import InPages
from service.api.problems import problems
from service.api.routes.webhook_endpoints import EndpointId
from service.api.schemas.webhooks import WebhookDeliveryPage, WebhookDeliveryRead
from service.api.views.webhooks import PATH, delivery_read
from service.api.visibility import require_unbound
from service.domain.webhooks import DeliveryState
from service.flows.redeliver import find_delivery, resend
from service.flows.webhook_endpoints import find_endpoint
from service.store.database import Unit

router = APIRouter(prefix=f"{PATH}/{{endpoint_id}}/deliveries", tags=["webhooks"])

DeliveryId = Annotated[str, Path(max_length=48, description="The delivery's id.", examples=["whd_0192…"])]


@router.get("", responses=problems(400, 404))
def list_webhook_deliveries(
    endpoint_id: EndpointId,
    context: InContext,
    actor: Caller,
    paging: InPages,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state.")] = None,
) -> WebhookDeliveryPage:
    """List what was sent to an endpoint, newest first."""
    require_unbound(actor)
    filters = {"endpoint": endpoint_id, "state": state}
    with context.store.read() as unit:
        find_endpoint(unit, endpoint_id)
        after = paging.position("webhook-deliveries", filters)
        page = unit.webhooks.deliveries(endpoint_id, after=after, limit=paging.limit, state=state)
        items = [delivery_read(delivery) for delivery in page.items]
    return WebhookDeliveryPage(items=items, next_cursor=paging.after(page.next, "webhook-deliveries", filters))


@router.get("/{delivery_id}", responses=problems(404))
def get_webhook_delivery(
    endpoint_id: EndpointId, delivery_id: DeliveryId, context: InContext, actor: Caller
) -> WebhookDeliveryRead:
    """Read a delivery: the message, and what came of the attempts."""
    require_unbound(actor)
    with context.store.read() as unit:
        find_endpoint(unit, endpoint_id)
        return delivery_read(find_delivery(unit, endpoint_id, delivery_id))


@router.post(
    "/{delivery_id}/resend", status_code=202, response_model=WebhookDeliveryRead, responses=problems(400, 404, 409)
)
def resend_webhook_delivery(
    endpoint_id: EndpointId, delivery_id: DeliveryId, context: InContext, actor: Caller, creation: JsonCreation
) -> JSONResponse:
    """Send a message again, under its id, with a fresh schedule of retries."""
    require_unbound(actor)

    def effect(unit: Unit) -> Answer:
        delivery = resend(unit, endpoint_id, delivery_id, actor=actor.id)
        return Answer(202, delivery_read(delivery), f"{PATH}/{endpoint_id}/deliveries/{delivery_id}")

    return creation.once(effect)
