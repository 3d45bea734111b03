"""What becomes of a delivery: verify the bytes, normalise what they ask, file it once.

When this returns, the request is committed.
"""

from dataclasses import dataclass
from datetime import datetime, tzinfo

from service.domain.errors import NotFound
from service.domain.states import RequestState
from service.evidence.dsse import Envelope
from service.flows.file_ask import file_ask
from service.flows.inbound_endpoints import find_endpoint, secrets_of
from service.flows.vault import Vault
from service.store.database import Store
from service.store.tables import InboundEndpoint
from service.webhooks.inbound.delivery import Delivery
from service.webhooks.inbound.provider import Ignored, rules_of
from service.webhooks.inbound.registry import provider_named


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request that a delivery made, or an earlier one did."""

    request: str
    state: RequestState
    due_at: datetime
    receipt: Envelope
    is_repeated: bool


def receive(
    store: Store, vault: Vault, provider: str, endpoint_id: str, delivery: Delivery, *, zone: tzinfo
) -> Accepted | Ignored:
    """File what a delivery asks for. `zone`: where the legal clock's days are counted.

    Raises:
        NotFound, Gone: the provider or the endpoint.
        NotFromSender: see `InboundProvider.verify`.
        Unreadable, InvalidInput: see `InboundProvider.read`.
        Conflict, NotFound: see `file_ask`.
    """
    sender = provider_named(provider)
    with store.read() as unit:
        endpoint = _endpoint(find_endpoint(unit, endpoint_id), provider)
        secrets = secrets_of(unit, vault, endpoint)
    sender.verify(delivery, secrets)
    ask = sender.read(delivery, rules_of(endpoint))
    if isinstance(ask, Ignored):
        return ask
    with store.write("inbound") as unit:
        lines = find_endpoint(unit, endpoint_id).lines
        filed = file_ask(
            unit,
            vault,
            ask,
            channel=endpoint_id,
            actor=endpoint_id,
            lines=None if lines is None else frozenset(lines),
            body_hash=vault.hashes.body(delivery.body),
            zone=zone,
        )
        request = filed.request
        return Accepted(request.id, request.state, request.due_at, request.receipt, filed.is_repeated)


def _endpoint(row: InboundEndpoint, provider: str) -> InboundEndpoint:
    if row.provider != provider:
        raise NotFound("There is no such inbound endpoint.", field="endpoint_id", code="unknown-endpoint")
    return row
