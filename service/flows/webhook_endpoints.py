"""Endpoints of outgoing webhooks: make, change, delete, give a new secret, switch off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from service.domain.errors import InvalidInput, NotFound
from service.domain.events import unknown_filters
from service.domain.ids import new_id
from service.domain.webhooks import DisabledReason, SignatureScheme
from service.evidence.webhook_keys import WebhookKey
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import WebhookEndpoint, WebhookSecret


@dataclass(frozen=True, slots=True)
class EndpointOrder:
    """An endpoint to be made. `event_types`, `lines`: what it is told of; None for everything."""

    url: str
    scheme: SignatureScheme
    description: str | None = None
    event_types: Sequence[str] | None = None
    lines: Sequence[str] | None = None
    enabled: bool = True


def create_endpoint(
    unit: Unit, vault: Vault, order: EndpointOrder, *, actor: str
) -> tuple[WebhookEndpoint, WebhookKey]:
    """A new endpoint, which is told of what happens from now on, and the key that signs for it.

    Raises:
        InvalidInput: a filter matches no type of event.
    """
    endpoint = WebhookEndpoint(
        id=new_id("whe"),
        url=order.url,
        description=order.description,
        event_types=_checked(order.event_types),
        lines=None if order.lines is None else list(order.lines),
        cursor=unit.feed.last_seq(),
        created_at=unit.now,
        created_by=actor,
    )
    unit.webhooks.add(endpoint)
    unit.audit(actor, "webhook_endpoint.created", endpoint=endpoint.id)
    unit.emit("webhook_endpoint.created", endpoint=endpoint.id)
    if not order.enabled:
        _switch_off(unit, endpoint, DisabledReason.requested)
    return endpoint, _new_key(unit, vault, endpoint, order.scheme)


def change_endpoint(unit: Unit, endpoint_id: str, changes: Mapping[str, Any], *, actor: str) -> WebhookEndpoint:
    """Set the members of an EndpointOrder that are given; None for `url` or `enabled` leaves that as it is.

    An endpoint that is switched on again is told of what happens from then on.

    Raises:
        NotFound: there is no such endpoint.
        InvalidInput: a filter matches no type of event.
    """
    endpoint = lock_endpoint(unit, endpoint_id)
    endpoint.url = changes.get("url") or endpoint.url
    endpoint.description = changes.get("description", endpoint.description)
    endpoint.event_types = _checked(changes.get("event_types", endpoint.event_types))
    endpoint.lines = changes.get("lines", endpoint.lines)
    enabled = changes.get("enabled")
    if enabled is True and endpoint.disabled_at is not None:
        endpoint.disabled_at = endpoint.disabled_reason = endpoint.failing_since = None
        endpoint.cursor = unit.feed.last_seq()
    elif enabled is False and endpoint.disabled_at is None:
        _switch_off(unit, endpoint, DisabledReason.requested)
    unit.audit(actor, "webhook_endpoint.changed", endpoint=endpoint.id, members=sorted(changes))
    unit.emit("webhook_endpoint.changed", endpoint=endpoint.id)
    return endpoint


def delete_endpoint(unit: Unit, endpoint_id: str, *, actor: str) -> None:
    """Forget an endpoint, its keys, and what was sent to it.

    Raises:
        NotFound: there is no such endpoint.
    """
    endpoint = lock_endpoint(unit, endpoint_id)
    unit.webhooks.delete_endpoint(endpoint.id)
    unit.audit(actor, "webhook_endpoint.deleted", endpoint=endpoint_id)
    unit.emit("webhook_endpoint.deleted", endpoint=endpoint_id)


def rotate_secret(
    unit: Unit, vault: Vault, endpoint_id: str, *, scheme: SignatureScheme | None, overlap: timedelta, actor: str
) -> tuple[WebhookEndpoint, WebhookKey]:
    """A new key that signs from now on. The ones before go on signing beside it for `overlap` at most.

    Args:
        scheme: None for that of the newest key.

    Raises:
        NotFound: there is no such endpoint.
    """
    endpoint = lock_endpoint(unit, endpoint_id)
    before, until = unit.webhooks.secrets(endpoint.id, unit.now), unit.now + overlap
    for secret in before:
        secret.expires_at = until if secret.expires_at is None else min(secret.expires_at, until)
    key = _new_key(unit, vault, endpoint, scheme or before[0].scheme)
    unit.audit(actor, "webhook_endpoint.secret_rotated", endpoint=endpoint.id, overlap_s=overlap.total_seconds())
    unit.emit("webhook_endpoint.changed", endpoint=endpoint.id)
    return endpoint, key


def disable(unit: Unit, endpoint: WebhookEndpoint, reason: DisabledReason) -> None:
    """Give an endpoint up, which `lock_endpoint` has locked, and tell of it."""
    _switch_off(unit, endpoint, reason)
    unit.audit("lethe", "webhook_endpoint.disabled", endpoint=endpoint.id, reason=reason)
    unit.emit("webhook_endpoint.disabled", endpoint=endpoint.id, reason=reason)


def lock_endpoint(unit: Unit, endpoint_id: str) -> WebhookEndpoint:
    """Raises NotFound."""
    return _found(unit.webhooks.lock_endpoint(endpoint_id))


def find_endpoint(unit: Unit, endpoint_id: str) -> WebhookEndpoint:
    """Raises NotFound."""
    return _found(unit.webhooks.endpoint(endpoint_id))


def _found(endpoint: WebhookEndpoint | None) -> WebhookEndpoint:
    if endpoint is None:
        raise NotFound("There is no such webhook endpoint.", field="endpoint_id", code="unknown-webhook-endpoint")
    return endpoint


def _switch_off(unit: Unit, endpoint: WebhookEndpoint, reason: DisabledReason) -> None:
    endpoint.disabled_at, endpoint.disabled_reason = unit.now, reason
    unit.session.flush()
    unit.webhooks.cancel_pending(endpoint.id, unit.now)


def _new_key(unit: Unit, vault: Vault, endpoint: WebhookEndpoint, scheme: SignatureScheme) -> WebhookKey:
    key, secret_id = WebhookKey.generate(scheme), new_id("whs")
    sealed = key.seal(vault.sealer, key_id=secret_id)
    assert sealed.wrapped_key is not None, "only shredding takes a wrapped key away"
    unit.webhooks.add(
        WebhookSecret(
            id=secret_id,
            endpoint_id=endpoint.id,
            scheme=scheme,
            ciphertext=sealed.ciphertext,
            wrapped_key=sealed.wrapped_key,
            public_key=key.public,
            created_at=unit.now,
        )
    )
    return key


def _checked(filters: Sequence[str] | None) -> list[str] | None:
    if filters is None:
        return None
    if wrong := unknown_filters(filters):
        raise InvalidInput(
            "It matches no type of event.", field=f"/event_types/{wrong[0]}",
            fix="Use a type that the documentation lists, or `request.*`.", code="unknown-event-type",
        )  # fmt: skip
    return sorted(set(filters))
