"""File what a privacy platform asks for, once: a delivery that is repeated finds the request it made."""

import json
from dataclasses import dataclass
from datetime import datetime, tzinfo

from service.domain.errors import Conflict
from service.domain.operations import Operation
from service.flows.lookup import find_request
from service.flows.submit import Submission, submit
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import InboundDelivery, UnlearningRequest


@dataclass(frozen=True, slots=True)
class Ask:
    """What a delivery asks for.

    `key` tells it from all others of its channel, for ever, and comes from what is signed. `reference`: what the
    sender calls it, if that names no person.
    """

    key: str
    operations: tuple[Operation, ...]
    reference: str | None = None
    regulation: str | None = None
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Filed:
    """The request that answers a delivery, and whether an earlier one made it."""

    request: UnlearningRequest
    is_repeated: bool


def file_ask(
    unit: Unit,
    vault: Vault,
    ask: Ask,
    *,
    channel: str,
    actor: str,
    lines: frozenset[str] | None,
    body_hash: str,
    zone: tzinfo,
) -> Filed:
    """Make the request, unless this ask has one. `lines`: those it may affect; None for all. `zone`: see `Submission`.

    Raises:
        Conflict: the same delivery asked for something else before.
        InvalidInput, NotFound, AlreadyRemoved: see `submit`.
    """
    key, said = vault.hashes.delivery(channel, ask.key), vault.hashes.delivery(_said(ask))
    if not unit.inbound.reserve(
        {"channel": channel, "key_hash": key, "ask_hash": said, "request_id": "", "created_at": unit.now}
    ):
        return _repeated(unit, unit.inbound.delivery(channel, key), said)
    command = Submission(
        operations=ask.operations,
        client_reference=None if ask.reference is None else f"{channel}:{ask.reference}",
        regulation=ask.regulation,
        received_at=ask.received_at,
        within=lines,
        zone=zone,
    )
    request = submit(unit, vault, command, actor=actor, body_hash=body_hash)
    unit.inbound.delivery(channel, key).request_id = request.id
    return Filed(request, is_repeated=False)


def _repeated(unit: Unit, row: InboundDelivery, said: str) -> Filed:
    if row.ask_hash != said:
        raise Conflict(
            "A delivery of this id asked for something else.",
            fix="Send another request under another id.",
            code="delivery-changed",
            extra={"request": row.request_id},
        )
    return Filed(find_request(unit, row.request_id), is_repeated=True)


def _said(ask: Ask) -> str:
    """What is asked, however it was spelled: a sender may write another time into a repetition."""
    return json.dumps([ask.regulation, *(operation.model_dump(mode="json") for operation in ask.operations)])
