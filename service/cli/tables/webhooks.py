"""Endpoints and deliveries of webhooks, outgoing and inbound, as tables."""

from collections.abc import Iterable, Sequence

from rich.table import Table

from service.cli.tables.cells import state_of, table_of
from service.client.answers.inbound import InboundEndpoint, NewInboundEndpoint
from service.client.answers.webhooks import NewWebhookSecret, WebhookDelivery, WebhookEndpoint


def webhook_endpoints_table(endpoints: Sequence[WebhookEndpoint]) -> Table:
    table = table_of("endpoint", "url", "events", "lines", "state", "verify with")
    for item in endpoints:
        state = "works" if item.failing_since is None else f"failing since {item.failing_since:%Y-%m-%d %H:%M}"
        table.add_row(
            item.id,
            item.url,
            ", ".join(item.event_types or ["all"]),
            ", ".join(item.lines or ["all"]),
            state if item.enabled else f"off: {item.disabled_reason}",
            "\n".join(key.public_key or "the shared secret" for key in item.keys),
        )
    new = [one.secret for one in endpoints if isinstance(one, NewWebhookSecret) and one.secret]
    table.caption = f"secret, shown this once: {new[0]}" if new else None
    return table


def webhook_deliveries_table(deliveries: Iterable[WebhookDelivery]) -> Table:
    table = table_of("delivery", "type", "state", "answers", "next attempt", "created")
    for item in deliveries:
        table.add_row(
            item.id,
            item.message.type,
            state_of(item.state),
            ", ".join(str(attempt.status or attempt.error) for attempt in item.attempts),
            "" if item.next_attempt_at is None else f"{item.next_attempt_at:%Y-%m-%d %H:%M:%S}",
            f"{item.created_at:%Y-%m-%d %H:%M:%S}",
        )
    return table


def inbound_table(endpoints: Sequence[InboundEndpoint]) -> Table:
    table = table_of("endpoint", "provider", "name", "lines", "send to")
    new = [one.secret for one in endpoints if isinstance(one, NewInboundEndpoint) and one.secret]
    for one in endpoints:
        lines = "all" if one.lines is None else ", ".join(one.lines)
        table.add_row(one.id, one.provider, one.name, lines, one.path)
    table.caption = f"secret, shown this once: {new[0]}" if new else None
    return table
