"""Tell who asked for it how far a request is, at each change.

Every event of a request makes its callbacks due, in the transaction that emits it. What is sent is the status of the
moment, and only if it differs from what was told last: one that was missed is not told later, so that nobody hears an
older status after a newer one. A callback is sent by one sender at a time, who has it for a while, as with a webhook.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from service.domain.callbacks import CallbackProtocol
from service.domain.ids import new_id
from service.domain.webhooks import Attempt, DeliveryState, pause_after
from service.flows.deliver import ATTEMPTS_KEPT, LEASE, noted
from service.store.database import Unit
from service.store.tables import StatusCallback, UnlearningRequest

# A request's status in the words of a protocol.
StatusBody: TypeAlias = Callable[[Unit, CallbackProtocol, UnlearningRequest], bytes]


@dataclass(frozen=True, slots=True)
class ClaimedCallback:
    """A status to be sent once. `is_news`: whether it differs from what was told last, else it is not to be sent."""

    id: str
    fence: int
    changes: int
    protocol: CallbackProtocol
    url: str
    body: bytes
    is_news: bool

    @property
    def digest(self) -> str:
        return _digest(self.body)


def register(
    unit: Unit, request: UnlearningRequest, protocol: CallbackProtocol, urls: Iterable[str], *, told: bytes | None
) -> None:
    """Have these URLs, which were checked, told of a request. `told`: the status that they know already."""
    for url in dict.fromkeys(urls):
        unit.callbacks.add(
            StatusCallback(
                id=new_id("scb"),
                request_id=request.id,
                protocol=protocol,
                url=url,
                host=urlsplit(url).hostname or "",
                state=DeliveryState.pending,
                told=None if told is None else _digest(told),
                next_attempt_at=unit.now,
                attempts=[],
                created_at=unit.now,
            )
        )


def claim_callback(
    unit: Unit, host: str, protocols: Collection[CallbackProtocol], status: StatusBody
) -> ClaimedCallback | None:
    """The callback to a host that is due longest; None if none is. If it has news, it counts as a try from now on."""
    row = unit.callbacks.next_due(host, protocols, unit.now)
    if row is None:
        return None
    request = unit.requests.get(row.request_id)
    assert request is not None, "requests are never deleted"
    body = status(unit, row.protocol, request)
    is_news = _digest(body) != row.told
    row.fence += 1
    if is_news:
        row.tries += 1
        row.leased_until = unit.now + LEASE
    else:
        _end(row, DeliveryState.delivered)
    return ClaimedCallback(row.id, row.fence, row.changes, row.protocol, row.url, body, is_news)


def settle_callback(unit: Unit, claimed: ClaimedCallback, attempt: Attempt, *, chance: float) -> None:
    """Note what came of an attempt. If something happened to the request meanwhile, it stays due.

    Args:
        chance: between 0 and 1, drawn anew each time; it spreads retries.
    """
    row = unit.callbacks.lock(claimed.id)
    if row is None or row.fence != claimed.fence:
        return
    row.attempts = [*row.attempts, noted(unit, attempt)][-ATTEMPTS_KEPT:]
    row.leased_until = None
    if attempt.succeeded:
        row.told = claimed.digest
    if attempt.is_gone:
        _end(row, DeliveryState.canceled)
    elif row.changes == claimed.changes:
        _rest(unit, row, attempt, chance)


def _rest(unit: Unit, row: StatusCallback, attempt: Attempt, chance: float) -> None:
    pause = None if attempt.succeeded else pause_after(row.tries, attempt, chance=chance)
    if pause is not None:
        row.next_attempt_at = unit.now + pause
    else:
        _end(row, DeliveryState.delivered if attempt.succeeded else DeliveryState.failed)


def _end(row: StatusCallback, state: DeliveryState) -> None:
    row.state, row.next_attempt_at = state, None


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
