"""Unlearning requests as rows of a table."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from service.api.paging import MAX_LIMIT
from service.api.schemas.requests import RequestRead
from service.api.views.requests import requests_read
from service.store.database import Store
from service.store.repositories import RequestFilter


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _flag(value: bool) -> str:
    return "true" if value else "false"


# Times are UTC; `adapters` and `versions` are separated by spaces.
COLUMNS: Mapping[str, Callable[[RequestRead], object]] = {
    "id": lambda read: read.id,
    "state": lambda read: read.state,
    "outcome": lambda read: read.outcome,
    "on_hold": lambda read: _flag(read.on_hold),
    "overdue": lambda read: _flag(read.overdue),
    "client_reference": lambda read: read.client_reference,
    "regulation": lambda read: read.regulation,
    "remove": lambda read: read.operation_counts.get("remove", 0),
    "modify_query": lambda read: read.operation_counts.get("modify_query", 0),
    "correct_response": lambda read: read.operation_counts.get("correct_response", 0),
    "adapters": lambda read: " ".join(target.adapter for target in read.targets),
    "versions": lambda read: " ".join(target.version or "-" for target in read.targets),
    "received_at": lambda read: _moment(read.received_at),
    "ack_due_at": lambda read: _moment(read.ack_due_at),
    "due_at": lambda read: _moment(read.due_at),
    "extended_at": lambda read: _moment(read.extended_at),
    "created_at": lambda read: _moment(read.created_at),
    "finished_at": lambda read: _moment(read.finished_at),
    "rejection_code": lambda read: read.rejection_code,
    "failure": lambda read: None if read.failure is None else read.failure.code,
}


def request_rows(store: Store, wanted: RequestFilter, start: str | None = None) -> Iterator[list[object]]:
    """All that match, one short transaction a thousand, so that a slow reader holds nothing up.

    `start`: the key of a page to go on from.
    """
    more = True
    while more:
        with store.read() as unit:
            page = unit.requests.list(wanted, after=start, limit=MAX_LIMIT)
            rows = [_row(read) for read in requests_read(unit, page.items)]
        yield from rows
        start, more = page.next, page.next is not None


def _row(read: RequestRead) -> list[object]:
    return [draw(read) for draw in COLUMNS.values()]
