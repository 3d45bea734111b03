"""An endpoint that is told of events, and the sender that the test plays."""

import json
from datetime import datetime
from typing import Any

from service.domain.webhooks import (
    Attempt,
    AttemptError,
    DeliveryState,
    SignatureScheme,
)
from service.flows.deliver import ClaimedDelivery, claim_delivery, settle
from service.flows.fan_out import fan_out
from service.flows.redeliver import recover
from service.flows.webhook_endpoints import (
    EndpointOrder,
    change_endpoint,
    create_endpoint,
)
from service.store.tables import WebhookDelivery, WebhookEndpoint
from tests.support.house import ACTOR, House

DONE = Attempt(204, None, 0.05)
BROKEN = Attempt(500, None, 0.05)
SILENT = Attempt(None, AttemptError.timeout, 15.0)


class Hook:
    """An endpoint of a house, and the sender that the test plays."""

    def __init__(self, house: House, **order: Any) -> None:
        self.house = house
        chosen = {"url": "https://example.com/hook", "scheme": SignatureScheme.ed25519, **order}
        with house.store.write() as unit:
            self.id = create_endpoint(unit, house.vault, EndpointOrder(**chosen), actor=ACTOR)[0].id
        # Its own creation is the first thing that it is told of.
        self.fan_out()
        for _ in self.sent():
            pass

    def fan_out(self) -> int:
        with self.house.store.write() as unit:
            return fan_out(unit, self.id)

    def emit(self, *types: str, **members: Any) -> None:
        with self.house.store.write() as unit:
            for type_ in types:
                unit.emit(type_, **members)
        self.fan_out()

    def claim(self) -> ClaimedDelivery | None:
        with self.house.store.write() as unit:
            return claim_delivery(unit, self.house.vault, self.id)

    def settle(self, claimed: ClaimedDelivery, attempt: Attempt = DONE) -> None:
        with self.house.store.write() as unit:
            settle(unit, claimed, attempt, chance=0)

    def send(self, attempt: Attempt = DONE) -> dict[str, Any] | None:
        """Send what is due longest, with this result; the message, if there was one."""
        claimed = self.claim()
        if claimed is None:
            return None
        self.settle(claimed, attempt)
        message: dict[str, Any] = json.loads(claimed.body)
        return message

    def sent(self) -> list[str]:
        """Deliver all that is due; the types."""
        types = []
        while message := self.send():
            types.append(message["type"])
        return types

    def change(self, **changes: Any) -> None:
        with self.house.store.write() as unit:
            change_endpoint(unit, self.id, changes, actor=ACTOR)

    def recover(self, since: datetime) -> None:
        with self.house.store.write() as unit:
            recover(unit, self.id, since=since, actor=ACTOR)
        while self.fan_out():
            pass

    @property
    def row(self) -> WebhookEndpoint:
        with self.house.store.read() as unit:
            found = unit.webhooks.endpoint(self.id)
        assert found is not None
        return found

    @property
    def deliveries(self) -> list[WebhookDelivery]:
        """Oldest first, without that of its creation."""
        with self.house.store.read() as unit:
            page = unit.webhooks.deliveries(self.id, after=None, limit=1000)
        return [row for row in reversed(page.items) if row.type != "webhook_endpoint.created"]

    @property
    def states(self) -> list[DeliveryState]:
        return [row.state for row in self.deliveries]
