"""Take a delivery to send it, and note what came of that.

Whoever takes one has it for a while; a sender that dies in between loses nothing, and the message is sent again.
What a sender notes after another one took the delivery is dropped, as its fence is an old one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from service.domain.webhooks import (
    DISABLE_AFTER,
    Attempt,
    DeliveryState,
    DisabledReason,
    pause_after,
)
from service.evidence.canonical import canonical_json
from service.evidence.sealing import Sealed
from service.evidence.statements import timestamp
from service.evidence.webhook_keys import WebhookKey
from service.flows.vault import Vault
from service.flows.webhook_endpoints import disable
from service.store.database import Unit
from service.store.tables import WebhookDelivery, WebhookEndpoint

# Longer than an attempt and the resolution of its host may take.
LEASE = timedelta(seconds=90)
ATTEMPTS_KEPT = 50


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A message to be sent once. `keys`: those that sign it, newest first."""

    id: str
    endpoint_id: str
    fence: int
    url: str
    body: bytes
    keys: Sequence[WebhookKey]


def claim_delivery(unit: Unit, vault: Vault, endpoint_id: str) -> ClaimedDelivery | None:
    """The delivery of an endpoint that is due longest; None if none is. It counts as a try from now on."""
    endpoint = unit.webhooks.endpoint(endpoint_id)
    if endpoint is None or endpoint.disabled_at is not None:
        return None
    delivery = unit.webhooks.next_due(endpoint_id, unit.now)
    if delivery is None:
        return None
    delivery.fence += 1
    delivery.tries += 1
    delivery.next_attempt_at = unit.now + LEASE
    secrets = unit.webhooks.secrets(endpoint_id, unit.now)
    keys = [
        WebhookKey.from_sealed(vault.sealer, row.scheme, Sealed(row.ciphertext, row.wrapped_key), key_id=row.id)
        for row in secrets
    ]
    body = canonical_json(delivery.payload)
    return ClaimedDelivery(delivery.id, endpoint_id, delivery.fence, endpoint.url, body, keys)


def settle(unit: Unit, claimed: ClaimedDelivery, attempt: Attempt, *, chance: float) -> None:
    """Note what came of an attempt: delivered, to be tried again, or given up.

    Args:
        chance: between 0 and 1, drawn anew each time; it spreads retries.
    """
    endpoint = unit.webhooks.lock_endpoint(claimed.endpoint_id)
    delivery = unit.webhooks.lock_delivery(claimed.id)
    if endpoint is None or delivery is None or delivery.fence != claimed.fence:
        return
    delivery.attempts = [*delivery.attempts, noted(unit, attempt)][-ATTEMPTS_KEPT:]
    if attempt.succeeded:
        _end(unit, delivery, DeliveryState.delivered)
        endpoint.failing_since = None
    elif delivery.state is DeliveryState.pending:
        _failed(unit, endpoint, delivery, attempt, chance)


def _failed(unit: Unit, endpoint: WebhookEndpoint, delivery: WebhookDelivery, attempt: Attempt, chance: float) -> None:
    pause = None if attempt.is_gone else pause_after(delivery.tries, attempt, chance=chance)
    if pause is None:
        _end(unit, delivery, DeliveryState.failed)
    else:
        delivery.next_attempt_at = unit.now + pause
    endpoint.failing_since = endpoint.failing_since or unit.now
    if attempt.is_gone:
        disable(unit, endpoint, DisabledReason.gone)
    elif unit.now - endpoint.failing_since >= DISABLE_AFTER:
        disable(unit, endpoint, DisabledReason.failing)


def _end(unit: Unit, delivery: WebhookDelivery, state: DeliveryState) -> None:
    delivery.state, delivery.finished_at, delivery.next_attempt_at = state, unit.now, None


def noted(unit: Unit, attempt: Attempt) -> dict[str, object]:
    """What is kept of an attempt."""
    return {
        "at": timestamp(unit.now),
        "status": attempt.status,
        "error": attempt.error,
        "seconds": round(attempt.seconds, 3),
    }
