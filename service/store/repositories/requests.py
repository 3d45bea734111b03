"""Unlearning requests, operations and certificates."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select

from service.domain.states import TERMINAL_REQUEST_STATES, RequestState
from service.store.repositories.base import Page, Repository
from service.store.repositories.visibility import View
from service.store.tables import Certificate, OperationRow, Target, UnlearningRequest


class RequestRepository(Repository):
    def add(self, row: UnlearningRequest | OperationRow | Certificate) -> None:
        self.session.add(row)
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
        query = select(func.count()).where(
            UnlearningRequest.due_at < now, UnlearningRequest.state.not_in(TERMINAL_REQUEST_STATES)
        )
        return self.session.scalar(query) or 0

    def list(
        self,
        *,
        after: str | None,
        limit: int,
        state: RequestState | None = None,
        line_id: str | None = None,
        client_reference: str | None = None,
        overdue_at: datetime | None = None,
        view: View | None = None,
    ) -> Page[UnlearningRequest]:
        query = select(UnlearningRequest)
        if view is not None:
            query = query.where(view.requests())
        if state is not None:
            query = query.where(UnlearningRequest.state == state)
        if client_reference is not None:
            query = query.where(UnlearningRequest.client_reference == client_reference)
        if line_id is not None:
            query = query.where(UnlearningRequest.id.in_(select(Target.request_id).where(Target.line_id == line_id)))
        if overdue_at is not None:
            query = query.where(
                UnlearningRequest.due_at < overdue_at, UnlearningRequest.state.not_in(TERMINAL_REQUEST_STATES)
            )
        return self.page(query, UnlearningRequest.id, after=after, limit=limit)

    def operations(self, request_id: str) -> Sequence[OperationRow]:
        return self.session.scalars(
            select(OperationRow).where(OperationRow.request_id == request_id).order_by(OperationRow.position)
        ).all()

    def certificates(self, request_id: str) -> Sequence[Certificate]:
        """Newest first."""
        return self.session.scalars(
            select(Certificate).where(Certificate.request_id == request_id).order_by(Certificate.id.desc())
        ).all()

    def newest_certificate(self, target_id: str) -> Certificate | None:
        return self.session.scalar(
            select(Certificate).where(Certificate.target_id == target_id).order_by(Certificate.id.desc()).limit(1)
        )
