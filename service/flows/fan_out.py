"""Make a delivery of every event that an endpoint wants to be told of.

Deliveries and the endpoint's cursor move in one transaction, so a crash neither loses an event nor tells one twice;
events are numbered in the order of their commits, so a cursor never overtakes one.
"""

from collections.abc import Iterable, Mapping, Sequence

from service.domain.events import is_wanted
from service.domain.ids import new_id
from service.domain.webhooks import DeliveryState
from service.evidence.statements import timestamp
from service.store.database import Unit
from service.store.tables import Event, WebhookEndpoint

BATCH = 500


def fan_out(unit: Unit, endpoint_id: str) -> int:
    """Look at the next events for an endpoint; returns how many were looked at."""
    endpoint = unit.webhooks.lock_endpoint(endpoint_id)
    if endpoint is None or endpoint.disabled_at is not None:
        return 0
    events = unit.feed.events(endpoint.cursor, limit=BATCH)
    if events:
        unit.webhooks.add_deliveries(_delivery(unit, endpoint, event) for event in _wanted(unit, endpoint, events))
        endpoint.cursor = events[-1].seq
    return len(events)


def _wanted(unit: Unit, endpoint: WebhookEndpoint, events: Sequence[Event]) -> Iterable[Event]:
    """With a filter of lines: what concerns one of them, or a request that affects one."""
    named = [event for event in events if is_wanted(event.type, endpoint.event_types)]
    lines = endpoint.lines
    if lines is None:
        return named
    requests = {event.request_id for event in named if event.adapter is None and event.request_id is not None}
    affecting = unit.webhooks.affecting(requests, lines)
    return [
        event for event in named if event.adapter in lines or (event.adapter is None and event.request_id in affecting)
    ]


def _delivery(unit: Unit, endpoint: WebhookEndpoint, event: Event) -> Mapping[str, object]:
    data = {
        **event.data,
        "event": event.seq,
        "adapter": event.adapter,
        "request": event.request_id,
        "run": event.run_id,
    }
    return {
        "id": new_id("whd"),
        "endpoint_id": endpoint.id,
        "event_seq": event.seq,
        "type": event.type,
        "payload": {"type": event.type, "timestamp": timestamp(event.created_at), "data": data},
        "state": DeliveryState.pending,
        "created_at": unit.now,
        "next_attempt_at": unit.now,
        "tries": 0,
        "fence": 0,
        "attempts": [],
    }
