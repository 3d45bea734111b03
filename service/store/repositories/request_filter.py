"""Which unlearning requests a list holds, as conditions for queries."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, select

from service.domain.states import TERMINAL_REQUEST_STATES, RequestState
from service.store.repositories.visibility import View
from service.store.tables import RequestSubject, Target, UnlearningRequest


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """What requests must have in common; None asks for nothing.

    `subject`: the keyed hashes by which a data subject may have been named (`KeyedHash.subject_names`), one of them a
    match. `is_open`: not over yet. `overdue_at`: open and due before that moment. Of two bounds in time, the earlier
    is inside and the later outside.
    """

    state: RequestState | None = None
    line_id: str | None = None
    client_reference: str | None = None
    regulation: str | None = None
    subject: tuple[str, ...] | None = None
    received_after: datetime | None = None
    received_before: datetime | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    due_after: datetime | None = None
    due_before: datetime | None = None
    is_open: bool = False
    overdue_at: datetime | None = None
    view: View | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        row = UnlearningRequest
        for column, wanted in (
            (row.state, self.state),
            (row.client_reference, self.client_reference),
            (row.regulation, self.regulation),
        ):
            if wanted is not None:
                yield column == wanted
        for moment, since in (
            (row.received_at, self.received_after),
            (row.created_at, self.created_after),
            (row.due_at, self.due_after),
        ):
            if since is not None:
                yield moment >= since
        for moment, until in (
            (row.received_at, self.received_before),
            (row.created_at, self.created_before),
            (row.due_at, self.due_before),
        ):
            if until is not None:
                yield moment < until
        if self.is_open:
            yield row.state.not_in(TERMINAL_REQUEST_STATES)
        if self.overdue_at is not None:
            yield is_overdue(self.overdue_at)
        if self.line_id is not None:
            yield row.id.in_(select(Target.request_id).where(Target.line_id == self.line_id))
        if self.subject is not None:
            yield row.id.in_(select(RequestSubject.request_id).where(RequestSubject.lookup.in_(self.subject)))
        if self.view is not None:
            yield self.view.requests()


def is_overdue(now: datetime) -> ColumnElement[bool]:
    """Whether a request is open past its due date."""
    return and_(UnlearningRequest.due_at < now, UnlearningRequest.state.not_in(TERMINAL_REQUEST_STATES))


def is_due_within(now: datetime, within: timedelta) -> ColumnElement[bool]:
    """Whether a request is open and due in that time, but not yet."""
    due, state = UnlearningRequest.due_at, UnlearningRequest.state
    return and_(due >= now, due < now + within, state.not_in(TERMINAL_REQUEST_STATES))
