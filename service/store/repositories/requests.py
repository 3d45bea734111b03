"""Unlearning requests, operations and certificates."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, insert, select

from service.domain.states import TERMINAL_REQUEST_STATES, RequestState
from service.store.repositories.base import Page, Repository
from service.store.repositories.request_filter import RequestFilter, is_due_within, is_overdue
from service.store.repositories.visibility import View
from service.store.tables import Certificate, OperationRow, RequestSubject, UnlearningRequest

EVERYTHING = RequestFilter()


class RequestRepository(Repository):
    def add(self, *rows: UnlearningRequest | OperationRow | Certificate) -> None:
        self.session.add_all(rows)
        self.session.flush()

    def get(self, request_id: str) -> UnlearningRequest | None:
        return self.session.get(UnlearningRequest, request_id)

    def lock(self, request_id: str) -> UnlearningRequest | None:
        query = select(UnlearningRequest).where(UnlearningRequest.id == request_id).with_for_update()
        return self.session.scalar(query.execution_options(populate_existing=True))

    def by_reference(self, client_reference: str) -> UnlearningRequest | None:
        return self.session.scalar(
            select(UnlearningRequest).where(UnlearningRequest.client_reference == client_reference)
        )

    def visible(self, request_id: str, view: View) -> bool:
        """Whether a bound key can see this request."""
        query = select(UnlearningRequest.id).where(UnlearningRequest.id == request_id, view.requests())
        return self.session.scalar(query) is not None

    def count_by_state(self) -> Mapping[RequestState, int]:
        query = select(UnlearningRequest.state, func.count()).group_by(UnlearningRequest.state)
        return dict(self.session.execute(query).all())

    def oldest_open(self) -> datetime | None:
        """When the oldest open request was filed."""
        query = select(func.min(UnlearningRequest.created_at))
        return self.session.scalar(query.where(UnlearningRequest.state.not_in(TERMINAL_REQUEST_STATES)))

    def count_overdue(self, now: datetime) -> int:
        return self.session.scalar(select(func.count()).where(is_overdue(now))) or 0

    def count_due_soon(self, now: datetime, within: timedelta) -> int:
        return self.session.scalar(select(func.count()).where(is_due_within(now, within))) or 0

    def late_untold(self, now: datetime) -> Sequence[UnlearningRequest]:
        """Overdue requests of which nobody was told yet, locked until the transaction ends.

        Those that another transaction has locked are for the next time.
        """
        return self._locked(is_overdue(now), UnlearningRequest.overdue_at.is_(None))

    def soon_untold(self, now: datetime, within: timedelta) -> Sequence[UnlearningRequest]:
        """Open requests that are due within that time, of which nobody was told yet; locked likewise."""
        return self._locked(is_due_within(now, within), UnlearningRequest.due_soon_at.is_(None))

    def _locked(self, *conditions: ColumnElement[bool]) -> Sequence[UnlearningRequest]:
        query = select(UnlearningRequest).where(*conditions).order_by(UnlearningRequest.id)
        return self.session.scalars(query.with_for_update(skip_locked=True)).all()

    def list(self, wanted: RequestFilter = EVERYTHING, *, after: str | None, limit: int) -> Page[UnlearningRequest]:
        query = select(UnlearningRequest).where(*wanted.conditions())
        return self.page(query, UnlearningRequest.id, after=after, limit=limit)

    def count(self, wanted: RequestFilter = EVERYTHING) -> int:
        query = select(func.count()).select_from(UnlearningRequest).where(*wanted.conditions())
        return self.session.scalar(query) or 0

    def due_first(self, wanted: RequestFilter, *, limit: int) -> Sequence[UnlearningRequest]:
        """What is due first before the rest."""
        query = select(UnlearningRequest).where(*wanted.conditions())
        return self.session.scalars(query.order_by(UnlearningRequest.due_at, UnlearningRequest.id).limit(limit)).all()

    def operations(self, request_id: str) -> Sequence[OperationRow]:
        return self.session.scalars(
            select(OperationRow).where(OperationRow.request_id == request_id).order_by(OperationRow.position)
        ).all()

    def name_subjects(self, request_id: str, lookups: Iterable[str]) -> None:
        """Remember the keyed hashes by which a request's data subjects are looked for."""
        rows = [{"request_id": request_id, "lookup": lookup} for lookup in dict.fromkeys(lookups)]
        if rows:
            self.session.execute(insert(RequestSubject), rows)

    def subjects(self, request_ids: Iterable[str]) -> set[str]:
        """The keyed hashes by which these requests' data subjects are looked for."""
        query = select(RequestSubject.lookup).where(RequestSubject.request_id.in_(list(request_ids)))
        return set(self.session.scalars(query))

    def certificates(self, request_id: str) -> Sequence[Certificate]:
        """Newest first."""
        return self.session.scalars(
            select(Certificate).where(Certificate.request_id == request_id).order_by(Certificate.id.desc())
        ).all()

    def newest_certificate(self, target_id: str) -> Certificate | None:
        return self.session.scalar(
            select(Certificate).where(Certificate.target_id == target_id).order_by(Certificate.id.desc()).limit(1)
        )
