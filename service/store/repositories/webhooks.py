"""Endpoints of outgoing webhooks, their keys, and deliveries.

Who changes both an endpoint and its deliveries locks the endpoint first.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from service.domain.webhooks import DeliveryState
from service.store.repositories.base import Page, Repository
from service.store.repositories.texts import chunks
from service.store.tables import Event, Line, Target, WebhookDelivery, WebhookEndpoint, WebhookSecret

_ENABLED = WebhookEndpoint.disabled_at.is_(None)
_PENDING = WebhookDelivery.state == DeliveryState.pending


class WebhookRepository(Repository):
    def add(self, row: WebhookEndpoint | WebhookSecret | WebhookDelivery) -> None:
        self.session.add(row)
        self.session.flush()

    # Endpoints and their keys

    def endpoint(self, endpoint_id: str) -> WebhookEndpoint | None:
        return self.session.get(WebhookEndpoint, endpoint_id)

    def lock_endpoint(self, endpoint_id: str) -> WebhookEndpoint | None:
        query = select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id)
        return self.session.scalar(query.with_for_update().execution_options(populate_existing=True))

    def endpoints(self, *, after: str | None, limit: int) -> Page[WebhookEndpoint]:
        return self.page(select(WebhookEndpoint), WebhookEndpoint.id, after=after, limit=limit)

    def behind(self) -> Sequence[str]:
        """The endpoints that the feed has news for, those who wait longest first."""
        newest = select(func.max(Event.seq)).scalar_subquery()
        query = select(WebhookEndpoint.id).where(_ENABLED, WebhookEndpoint.cursor < newest)
        return self.session.scalars(query.order_by(WebhookEndpoint.cursor)).all()

    def secrets(self, endpoint_id: str, now: datetime) -> Sequence[WebhookSecret]:
        """The keys that sign for an endpoint now, newest first."""
        current = or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > now)
        query = select(WebhookSecret).where(WebhookSecret.endpoint_id == endpoint_id, current)
        return self.session.scalars(query.order_by(WebhookSecret.id.desc())).all()

    def delete_endpoint(self, endpoint_id: str) -> None:
        """With its keys and all that was sent to it."""
        for table in (WebhookDelivery, WebhookSecret):
            self.session.execute(delete(table).where(table.endpoint_id == endpoint_id))
        self.session.execute(delete(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id))

    # Deliveries

    def add_deliveries(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Insert rows, but for those whose event is being told to the endpoint already."""
        flavour = pg_insert if self.session.get_bind().dialect.name == "postgresql" else sqlite_insert
        if values := list(rows):
            self.session.execute(flavour(WebhookDelivery).on_conflict_do_nothing(), values)

    def delivery(self, endpoint_id: str, delivery_id: str) -> WebhookDelivery | None:
        row = self.session.get(WebhookDelivery, delivery_id)
        return row if row is not None and row.endpoint_id == endpoint_id else None

    def lock_delivery(self, delivery_id: str) -> WebhookDelivery | None:
        query = select(WebhookDelivery).where(WebhookDelivery.id == delivery_id)
        return self.session.scalar(query.with_for_update().execution_options(populate_existing=True))

    def deliveries(
        self, endpoint_id: str, *, after: str | None, limit: int, state: DeliveryState | None = None
    ) -> Page[WebhookDelivery]:
        query = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
        if state is not None:
            query = query.where(WebhookDelivery.state == state)
        return self.page(query, WebhookDelivery.id, after=after, limit=limit)

    def with_due(self, now: datetime) -> Sequence[WebhookEndpoint]:
        """The endpoints to which something is to be sent now."""
        due = select(WebhookDelivery.endpoint_id).where(_PENDING, WebhookDelivery.next_attempt_at <= now)
        return self.session.scalars(select(WebhookEndpoint).where(_ENABLED, WebhookEndpoint.id.in_(due))).all()

    def next_due(self, endpoint_id: str, now: datetime) -> WebhookDelivery | None:
        """The delivery that is due longest, locked. One that another transaction has locked is passed over."""
        query = (
            select(WebhookDelivery)
            .where(WebhookDelivery.endpoint_id == endpoint_id, _PENDING, WebhookDelivery.next_attempt_at <= now)
            .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        return self.session.scalar(query)

    def cancel_pending(self, endpoint_id: str, now: datetime) -> None:
        self.session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.endpoint_id == endpoint_id, _PENDING)
            .values(state=DeliveryState.canceled, next_attempt_at=None, finished_at=now)
        )

    def repeat_undelivered(self, endpoint_id: str, *, since: datetime, now: datetime) -> None:
        """Make what failed or was canceled since a moment pending again."""
        lost = WebhookDelivery.state.in_((DeliveryState.failed, DeliveryState.canceled))
        self.session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.endpoint_id == endpoint_id, lost, WebhookDelivery.created_at >= since)
            .values(state=DeliveryState.pending, next_attempt_at=now, finished_at=None, tries=0)
        )

    def forget(self, *, deliveries_before: datetime, secrets_before: datetime) -> None:
        """Delete what ended long ago, and keys that no longer sign."""
        self.session.execute(delete(WebhookDelivery).where(WebhookDelivery.finished_at < deliveries_before))
        self.session.execute(delete(WebhookSecret).where(WebhookSecret.expires_at <= secrets_before))

    # What the fan-out asks

    def first_seq(self, since: datetime) -> int | None:
        """The first event since a moment; None if there is none."""
        return self.session.scalar(select(func.min(Event.seq)).where(Event.created_at >= since))

    def affecting(self, request_ids: Iterable[str], lines: Sequence[str]) -> set[str]:
        """Those of the requests that affect one of these lines."""
        found: set[str] = set()
        for chunk in chunks(list(request_ids)):
            query = select(Target.request_id).join(Line, Line.id == Target.line_id)
            found.update(self.session.scalars(query.where(Target.request_id.in_(chunk), Line.name.in_(lines))))
        return found

    # What is measured

    def count_by_state(self) -> Mapping[DeliveryState, int]:
        query = select(WebhookDelivery.state, func.count()).group_by(WebhookDelivery.state)
        return dict(self.session.execute(query).all())

    def count_disabled(self) -> int:
        return self.session.scalar(select(func.count()).where(WebhookEndpoint.disabled_at.is_not(None))) or 0

    def waiting_since(self, now: datetime) -> datetime | None:
        """Since when something that should have been sent by now waits; None if nothing does."""
        due = select(func.min(WebhookDelivery.next_attempt_at)).where(_PENDING, WebhookDelivery.next_attempt_at <= now)
        behind = select(func.min(WebhookEndpoint.cursor)).where(_ENABLED).scalar_subquery()
        untold = select(Event.created_at).where(Event.seq > behind).order_by(Event.seq).limit(1)
        moments = (self.session.scalar(due), self.session.scalar(untold))
        return min((moment for moment in moments if moment is not None), default=None)
