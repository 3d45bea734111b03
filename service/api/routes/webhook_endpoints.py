"""Endpoints of outgoing webhooks: who is told of what, and with which keys it is signed."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse

from service.api.auth import Caller
from service.api.context import InContext
from service.api.idempotency import Answer, JsonCreation
from service.api.paging import InPages
from service.api.problems import problems
from service.api.schemas.webhooks import (
    Recovery,
    SecretRotation,
    WebhookDeliveryRead,
    WebhookEndpointCreate,
    WebhookEndpointPage,
    WebhookEndpointRead,
    WebhookEndpointSecret,
    WebhookEndpointUpdate,
)
from service.api.views.webhooks import PATH, delivery_read, endpoint_read, endpoint_with_secret
from service.api.visibility import require_unbound
from service.egress.address import AddressPolicy
from service.flows import redeliver
from service.flows import webhook_endpoints as flow
from service.store.database import Unit

router = APIRouter(prefix=PATH, tags=["webhooks"])

EndpointId = Annotated[str, Path(max_length=48, description="The endpoint's id.", examples=["whe_0192…"])]


@router.post("", status_code=201, response_model=WebhookEndpointSecret, responses=problems(400, 413, 415))
def create_webhook_endpoint(
    body: WebhookEndpointCreate, context: InContext, actor: Caller, creation: JsonCreation
) -> JSONResponse:
    """Tell a URL of what happens from now on. The secret of the scheme `hmac` is shown once."""
    require_unbound(actor)
    AddressPolicy.of(context.settings).check_url(body.url, field="/url")
    order = flow.EndpointOrder(**dict(body))

    def effect(unit: Unit) -> Answer:
        endpoint, key = flow.create_endpoint(unit, context.vault, order, actor=actor.id)
        read = endpoint_with_secret(unit, endpoint, key)
        return Answer(201, read, f"{PATH}/{endpoint.id}", secrets=frozenset({"secret"}))

    return creation.once(effect)


@router.get("", responses=problems(400))
def list_webhook_endpoints(context: InContext, actor: Caller, paging: InPages) -> WebhookEndpointPage:
    """List webhook endpoints, newest first."""
    require_unbound(actor)
    with context.store.read() as unit:
        page = unit.webhooks.endpoints(after=paging.position("webhook-endpoints"), limit=paging.limit)
        items = [endpoint_read(unit, endpoint) for endpoint in page.items]
    return WebhookEndpointPage(items=items, next_cursor=paging.after(page.next, "webhook-endpoints"))


@router.get("/{endpoint_id}", responses=problems(404))
def get_webhook_endpoint(endpoint_id: EndpointId, context: InContext, actor: Caller) -> WebhookEndpointRead:
    """Read a webhook endpoint: whether it works, and the keys to verify its messages with."""
    require_unbound(actor)
    with context.store.read() as unit:
        return endpoint_read(unit, flow.find_endpoint(unit, endpoint_id))


@router.patch("/{endpoint_id}", responses=problems(400, 404, 413, 415))
def update_webhook_endpoint(
    endpoint_id: EndpointId, body: WebhookEndpointUpdate, context: InContext, actor: Caller
) -> WebhookEndpointRead:
    """Change a webhook endpoint, or switch it on or off."""
    require_unbound(actor)
    changes = body.model_dump(exclude_unset=True)
    if body.url is not None:
        AddressPolicy.of(context.settings).check_url(body.url, field="/url")
    with context.store.write() as unit:
        return endpoint_read(unit, flow.change_endpoint(unit, endpoint_id, changes, actor=actor.id))


@router.delete("/{endpoint_id}", status_code=204, responses=problems(404))
def delete_webhook_endpoint(endpoint_id: EndpointId, context: InContext, actor: Caller) -> Response:
    """Forget a webhook endpoint, its keys, and what was sent to it."""
    require_unbound(actor)
    with context.store.write() as unit:
        flow.delete_endpoint(unit, endpoint_id, actor=actor.id)
    return Response(status_code=204)


@router.post(
    "/{endpoint_id}/rotate-secret",
    status_code=201,
    response_model=WebhookEndpointSecret,
    responses=problems(400, 404, 409, 413, 415),
)
def rotate_webhook_secret(
    endpoint_id: EndpointId,
    context: InContext,
    actor: Caller,
    creation: JsonCreation,
    body: SecretRotation | None = None,
) -> JSONResponse:
    """Sign with a new key from now on, and beside it, for a while, with those before."""
    require_unbound(actor)
    rotation = body or SecretRotation()

    def effect(unit: Unit) -> Answer:
        overlap = timedelta(seconds=rotation.overlap_s)
        endpoint, key = flow.rotate_secret(
            unit, context.vault, endpoint_id, scheme=rotation.scheme, overlap=overlap, actor=actor.id
        )
        read = endpoint_with_secret(unit, endpoint, key)
        return Answer(201, read, f"{PATH}/{endpoint.id}", secrets=frozenset({"secret"}))

    return creation.once(effect)


@router.post(
    "/{endpoint_id}/test", status_code=202, response_model=WebhookDeliveryRead, responses=problems(400, 404, 409)
)
def try_webhook_endpoint(
    endpoint_id: EndpointId, context: InContext, actor: Caller, creation: JsonCreation
) -> JSONResponse:
    """Send a message of the type `webhook_endpoint.test`, whatever the filters say."""
    require_unbound(actor)

    def effect(unit: Unit) -> Answer:
        delivery = redeliver.send_test(unit, endpoint_id, actor=actor.id)
        return Answer(202, delivery_read(delivery), f"{PATH}/{endpoint_id}/deliveries/{delivery.id}")

    return creation.once(effect)


@router.post(
    "/{endpoint_id}/recover",
    status_code=202,
    response_model=WebhookEndpointRead,
    responses=problems(400, 404, 409, 413, 415),
)
def recover_webhook_deliveries(
    endpoint_id: EndpointId, body: Recovery, actor: Caller, creation: JsonCreation
) -> JSONResponse:
    """Deliver whatever happened since a moment and did not arrive, also while the endpoint was switched off."""
    require_unbound(actor)

    def effect(unit: Unit) -> Answer:
        endpoint = redeliver.recover(unit, endpoint_id, since=body.since, actor=actor.id)
        return Answer(202, endpoint_read(unit, endpoint), f"{PATH}/{endpoint.id}")

    return creation.once(effect)
