"""Webhook endpoints and deliveries, as clients see them."""

from service.api.schemas.webhooks import (
    AttemptRead,
    WebhookDeliveryRead,
    WebhookEndpointRead,
    WebhookEndpointSecret,
    WebhookKeyRead,
    WebhookMessage,
)
from service.evidence.webhook_keys import WebhookKey
from service.store.database import Unit
from service.store.tables import WebhookDelivery, WebhookEndpoint

PATH = "/v1/webhook-endpoints"


def endpoint_read(unit: Unit, endpoint: WebhookEndpoint) -> WebhookEndpointRead:
    return WebhookEndpointRead.model_validate(_members(unit, endpoint))


def endpoint_with_secret(unit: Unit, endpoint: WebhookEndpoint, key: WebhookKey) -> WebhookEndpointSecret:
    return WebhookEndpointSecret.model_validate({**_members(unit, endpoint), "secret": key.shown_once})


def delivery_read(delivery: WebhookDelivery) -> WebhookDeliveryRead:
    return WebhookDeliveryRead(
        id=delivery.id,
        endpoint=delivery.endpoint_id,
        state=delivery.state,
        message=WebhookMessage.model_validate(delivery.payload),
        attempts=[AttemptRead.model_validate(attempt) for attempt in delivery.attempts],
        next_attempt_at=delivery.next_attempt_at,
        created_at=delivery.created_at,
        finished_at=delivery.finished_at,
    )


def _members(unit: Unit, endpoint: WebhookEndpoint) -> dict[str, object]:
    keys = [
        WebhookKeyRead.model_validate({name: getattr(row, name) for name in WebhookKeyRead.model_fields})
        for row in unit.webhooks.secrets(endpoint.id, unit.now)
    ]
    own = WebhookEndpointRead.model_fields.keys() - {"enabled", "keys"}
    members = {name: getattr(endpoint, name) for name in own}
    return {**members, "enabled": endpoint.disabled_at is None, "keys": keys}
