"""Status callbacks of requests."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update

from service.domain.callbacks import CallbackProtocol
from service.domain.webhooks import DeliveryState
from service.store.repositories.base import Repository
from service.store.tables import StatusCallback, UnlearningRequest


class CallbackRepository(Repository):
    def add(self, row: StatusCallback) -> None:
        self.session.add(row)
        self.session.flush()

    def of_request(self, request_id: str) -> Sequence[StatusCallback]:
        """In the order in which they were asked for."""
        query = select(StatusCallback).where(StatusCallback.request_id == request_id)
        return self.session.scalars(query.order_by(StatusCallback.id)).all()

    def lock(self, callback_id: str) -> StatusCallback | None:
        query = select(StatusCallback).where(StatusCallback.id == callback_id)
        return self.session.scalar(query.with_for_update().execution_options(populate_existing=True))

    def wake(self, request_ids: Collection[str], now: datetime) -> None:
        """Something happened to these requests: make their callbacks due, but for those that want no more."""
        self.session.execute(
            update(StatusCallback)
            .where(StatusCallback.request_id.in_(request_ids), StatusCallback.state != DeliveryState.canceled)
            .values(state=DeliveryState.pending, changes=StatusCallback.changes + 1, next_attempt_at=now, tries=0)
            .execution_options(synchronize_session=False)
        )

    def due_hosts(self, protocols: Iterable[CallbackProtocol], now: datetime) -> Sequence[str]:
        """The hosts that something is to be sent to now."""
        return self.session.scalars(select(StatusCallback.host).where(_due(protocols, now)).distinct()).all()

    def next_due(self, host: str, protocols: Iterable[CallbackProtocol], now: datetime) -> StatusCallback | None:
        """The callback to a host that is due longest, locked. One that another transaction locked is passed over."""
        query = (
            select(StatusCallback)
            .where(StatusCallback.host == host, _due(protocols, now))
            .order_by(StatusCallback.next_attempt_at, StatusCallback.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        return self.session.scalar(query.execution_options(populate_existing=True))

    def forget(self, *, finished_before: datetime) -> None:
        """Delete those of requests that ended long ago."""
        ended = select(UnlearningRequest.id).where(UnlearningRequest.finished_at < finished_before)
        self.session.execute(delete(StatusCallback).where(StatusCallback.request_id.in_(ended)))

    def count_by_state(self) -> Mapping[DeliveryState, int]:
        query = select(StatusCallback.state, func.count()).group_by(StatusCallback.state)
        return dict(self.session.execute(query).all())


def _due(protocols: Iterable[CallbackProtocol], now: datetime) -> ColumnElement[bool]:
    return and_(
        StatusCallback.state == DeliveryState.pending,
        StatusCallback.next_attempt_at <= now,
        or_(StatusCallback.leased_until.is_(None), StatusCallback.leased_until <= now),
        StatusCallback.protocol.in_(list(protocols)),
    )
