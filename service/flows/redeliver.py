"""Send again what was sent or lost, or something made up to try an endpoint."""

from datetime import datetime

from service.domain.errors import Conflict, InvalidInput, NotFound
from service.domain.events import TEST_EVENT
from service.domain.ids import new_id
from service.domain.webhooks import KEEP_DELIVERIES, DeliveryState
from service.evidence.statements import timestamp
from service.flows.webhook_endpoints import lock_endpoint
from service.store.database import Unit
from service.store.tables import WebhookDelivery, WebhookEndpoint


def resend(unit: Unit, endpoint_id: str, delivery_id: str, *, actor: str) -> WebhookDelivery:
    """Send a message now, under its id, whatever came of it before, and with a fresh schedule of retries.

    Raises:
        NotFound: there is no such endpoint or delivery.
        Conflict: the endpoint is switched off.
    """
    _enabled(unit, endpoint_id)
    delivery = unit.webhooks.lock_delivery(find_delivery(unit, endpoint_id, delivery_id).id)
    assert delivery is not None, "its endpoint is locked, so nobody deletes it"
    delivery.state, delivery.tries = DeliveryState.pending, 0
    delivery.next_attempt_at, delivery.finished_at = unit.now, None
    unit.audit(actor, "webhook_delivery.resent", endpoint=endpoint_id, delivery=delivery_id)
    return delivery


def recover(unit: Unit, endpoint_id: str, *, since: datetime, actor: str) -> WebhookEndpoint:
    """Send whatever happened since a moment and was not delivered, also what happened while it was switched off.

    Raises:
        NotFound: there is no such endpoint.
        Conflict: it is switched off.
        InvalidInput: that is longer ago than deliveries are kept.
    """
    endpoint = _enabled(unit, endpoint_id)
    if since < unit.now - KEEP_DELIVERIES:
        raise InvalidInput(
            "Deliveries are not kept so long.", field="/since", fix=f"Go back {KEEP_DELIVERIES.days} days at most."
        )
    unit.webhooks.repeat_undelivered(endpoint_id, since=since, now=unit.now)
    first = unit.webhooks.first_seq(since)
    if first is not None:
        # The fan-out walks over them again and passes over those that have a delivery.
        endpoint.cursor = min(endpoint.cursor, first - 1)
    unit.audit(actor, "webhook_endpoint.recovered", endpoint=endpoint_id, since=timestamp(since))
    return endpoint


def send_test(unit: Unit, endpoint_id: str, *, actor: str) -> WebhookDelivery:
    """A message of the type `webhook_endpoint.test`, whatever the filters say.

    Raises:
        NotFound: there is no such endpoint.
        Conflict: it is switched off.
    """
    _enabled(unit, endpoint_id)
    payload = {"type": TEST_EVENT, "timestamp": timestamp(unit.now), "data": {"endpoint": endpoint_id}}
    delivery = WebhookDelivery(
        id=new_id("whd"),
        endpoint_id=endpoint_id,
        type=TEST_EVENT,
        payload=payload,
        state=DeliveryState.pending,
        created_at=unit.now,
        next_attempt_at=unit.now,
        attempts=[],
    )
    unit.webhooks.add(delivery)
    unit.audit(actor, "webhook_endpoint.tested", endpoint=endpoint_id, delivery=delivery.id)
    return delivery


def find_delivery(unit: Unit, endpoint_id: str, delivery_id: str) -> WebhookDelivery:
    """Raises NotFound."""
    delivery = unit.webhooks.delivery(endpoint_id, delivery_id)
    if delivery is None:
        raise NotFound("There is no such delivery.", field="delivery_id", code="unknown-delivery")
    return delivery


def _enabled(unit: Unit, endpoint_id: str) -> WebhookEndpoint:
    endpoint = lock_endpoint(unit, endpoint_id)
    if endpoint.disabled_at is not None:
        raise Conflict(
            "The endpoint is switched off.", fix="Switch it on first: PATCH it with `enabled` true.",
            code="endpoint-disabled",
        )  # fmt: skip
    return endpoint
