"""Webhook endpoints, and what is delivered to them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from service.client.answers.common import Page
from service.client.answers.webhooks import NewWebhookSecret, StatusCallback, WebhookDelivery, WebhookEndpoint
from service.client.call import Call, Every, Json, One, new_key, nothing, path
from service.client.calls.requests import REQUEST
from service.domain.webhooks import ROTATION_OVERLAP, DeliveryState, SignatureScheme

ENDPOINTS = "/v1/webhook-endpoints"
ENDPOINT = f"{ENDPOINTS}/{{endpoint_id}}"
DELIVERIES = f"{ENDPOINT}/deliveries"
DELIVERY = f"{DELIVERIES}/{{delivery_id}}"


def create_webhook_endpoint(
    url: str,
    *,
    scheme: SignatureScheme = SignatureScheme.ed25519,
    event_types: Sequence[str] | None = None,
    lines: Sequence[str] | None = None,
    description: str | None = None,
    enabled: bool = True,
    idempotency_key: str | None = None,
) -> Call[NewWebhookSecret]:
    """Tell a URL of what happens from now on.

    Args:
        scheme: how messages are signed; only the secret of `hmac` is shown, this once.
        event_types: types of events, or `request.*`; None: all but `run.progress`.
        lines: adapter lines, with the requests that affect them; None: everything.
    """
    body = {
        "url": url,
        "scheme": scheme,
        "event_types": None if event_types is None else list(event_types),
        "lines": None if lines is None else list(lines),
        "description": description,
        "enabled": enabled,
    }
    return Call("POST", ENDPOINTS, One(NewWebhookSecret), body=Json(body), idempotency_key=new_key(idempotency_key))


def list_webhook_endpoints(*, cursor: str | None = None, limit: int | None = None) -> Call[Page[WebhookEndpoint]]:
    """Webhook endpoints, newest first."""
    return Call("GET", ENDPOINTS, One(Page[WebhookEndpoint]), params={"cursor": cursor, "limit": limit})


def get_webhook_endpoint(endpoint_id: str) -> Call[WebhookEndpoint]:
    """A webhook endpoint: whether it works, and the keys to verify its messages with."""
    return Call("GET", path(ENDPOINT, endpoint_id=endpoint_id), One(WebhookEndpoint))


def update_webhook_endpoint(endpoint_id: str, changes: Mapping[str, Any]) -> Call[WebhookEndpoint]:
    """Change members of what it was made with, but for its scheme; `{"enabled": False}` switches it off."""
    return Call("PATCH", path(ENDPOINT, endpoint_id=endpoint_id), One(WebhookEndpoint), body=Json(dict(changes)))


def delete_webhook_endpoint(endpoint_id: str) -> Call[None]:
    """Forget an endpoint, its keys, and what was sent to it."""
    return Call("DELETE", path(ENDPOINT, endpoint_id=endpoint_id), nothing)


def rotate_webhook_secret(
    endpoint_id: str,
    *,
    scheme: SignatureScheme | None = None,
    overlap_s: int = int(ROTATION_OVERLAP.total_seconds()),
    idempotency_key: str | None = None,
) -> Call[NewWebhookSecret]:
    """Sign with a new key from now on, and for `overlap_s` with those before too. `scheme`: None for the same."""
    where = path(f"{ENDPOINT}/rotate-secret", endpoint_id=endpoint_id)
    body, key = Json({"scheme": scheme, "overlap_s": overlap_s}), new_key(idempotency_key)
    return Call("POST", where, One(NewWebhookSecret), body=body, idempotency_key=key)


def try_webhook_endpoint(endpoint_id: str, *, idempotency_key: str | None = None) -> Call[WebhookDelivery]:
    """Send a message of the type `webhook_endpoint.test`, whatever the filters say."""
    where = path(f"{ENDPOINT}/test", endpoint_id=endpoint_id)
    return Call("POST", where, One(WebhookDelivery), idempotency_key=new_key(idempotency_key))


def recover_webhook_deliveries(
    endpoint_id: str, since: datetime, *, idempotency_key: str | None = None
) -> Call[WebhookEndpoint]:
    """Deliver whatever happened since a moment, thirty days ago at most, and did not arrive."""
    where = path(f"{ENDPOINT}/recover", endpoint_id=endpoint_id)
    body, key = Json({"since": since.isoformat()}), new_key(idempotency_key)
    return Call("POST", where, One(WebhookEndpoint), body=body, idempotency_key=key)


def list_webhook_deliveries(
    endpoint_id: str, *, state: DeliveryState | None = None, cursor: str | None = None, limit: int | None = None
) -> Call[Page[WebhookDelivery]]:
    """What was sent to an endpoint in the last thirty days, newest first."""
    params = {"state": state, "cursor": cursor, "limit": limit}
    return Call("GET", path(DELIVERIES, endpoint_id=endpoint_id), One(Page[WebhookDelivery]), params=params)


def get_webhook_delivery(endpoint_id: str, delivery_id: str) -> Call[WebhookDelivery]:
    """A delivery: the message, and what came of the attempts."""
    return Call("GET", path(DELIVERY, endpoint_id=endpoint_id, delivery_id=delivery_id), One(WebhookDelivery))


def resend_webhook_delivery(
    endpoint_id: str, delivery_id: str, *, idempotency_key: str | None = None
) -> Call[WebhookDelivery]:
    """Send a message again, under its id, with a fresh schedule of retries."""
    where = path(f"{DELIVERY}/resend", endpoint_id=endpoint_id, delivery_id=delivery_id)
    return Call("POST", where, One(WebhookDelivery), idempotency_key=new_key(idempotency_key))


def list_status_callbacks(request_id: str) -> Call[list[StatusCallback]]:
    """Who asked to be told of a request's status by the protocol that it came by, and what came of it."""
    return Call("GET", path(f"{REQUEST}/status-callbacks", request_id=request_id), Every(StatusCallback))
