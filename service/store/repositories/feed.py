"""The events feed and the audit chain."""

from collections.abc import Collection, Sequence

from sqlalchemy import func, select, text

from service.evidence.audit import GENESIS, Head, content, link
from service.store.repositories.base import Repository
from service.store.repositories.visibility import View
from service.store.tables import AuditRow, Event

# Any constant; it names the lock under which feed lines are appended on PostgreSQL.
_FEED_LOCK = 0x1E7E


class FeedRepository(Repository):
    def append(self, events: Sequence[Event], audit: Sequence[AuditRow]) -> None:
        """Write feed lines in commit order, so that a reader's cursor never overtakes a line."""
        if self.session.get_bind().dialect.name == "postgresql":
            self.session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _FEED_LOCK})
        _, previous = self.audit_pin()
        for row in audit:
            row.hash = previous = link(previous, audit_payload(row))
            self.session.add(row)
            self.session.flush()
        for event in events:
            self.session.add(event)
            self.session.flush()

    def last_seq(self) -> int:
        return self.session.scalar(select(func.max(Event.seq))) or 0

    def events(
        self,
        after: int,
        *,
        limit: int,
        adapter: str | None = None,
        request_id: str | None = None,
        run_id: str | None = None,
        view: View | None = None,
        without: Collection[str] = (),
    ) -> Sequence[Event]:
        """Events with greater numbers, oldest first. `without`: types that are left out."""
        query = select(Event).where(Event.seq > after, Event.type.not_in(without)).order_by(Event.seq).limit(limit)
        if view is not None:
            query = query.where(view.events())
        for column, value in ((Event.adapter, adapter), (Event.request_id, request_id), (Event.run_id, run_id)):
            if value is not None:
                query = query.where(column == value)
        return self.session.scalars(query).all()

    def newest_events(self, limit: int, *, without: Collection[str], view: View | None = None) -> Sequence[Event]:
        """Newest first. `without`: types that are left out."""
        query = select(Event).where(Event.type.not_in(without)).order_by(Event.seq.desc()).limit(limit)
        return self.session.scalars(query if view is None else query.where(view.events())).all()

    def newest_audit_rows(self, limit: int) -> Sequence[AuditRow]:
        """Newest first."""
        return self.session.scalars(select(AuditRow).order_by(AuditRow.seq.desc()).limit(limit)).all()

    def audit_rows(self, after: int, limit: int, *, until: int | None = None) -> Sequence[AuditRow]:
        """Rows after number `after`, up to number `until`, oldest first."""
        query = select(AuditRow).where(AuditRow.seq > after).order_by(AuditRow.seq).limit(limit)
        return self.session.scalars(query if until is None else query.where(AuditRow.seq <= until)).all()

    def audit_head(self) -> Head:
        """The newest row of the audit chain. Counts the rows, so it takes longer the longer the chain is."""
        seq, hash_ = self.audit_pin()
        position = self.session.scalar(select(func.count()).where(AuditRow.seq <= seq))
        return Head(position or 0, seq, hash_)

    def audit_pin(self) -> tuple[int, str]:
        """Number and hash of the newest row of the audit chain; 0 and GENESIS if there is none."""
        row = self.session.execute(select(AuditRow.seq, AuditRow.hash).order_by(AuditRow.seq.desc()).limit(1)).first()
        return (0, GENESIS) if row is None else (row.seq, row.hash)


def audit_payload(row: AuditRow) -> dict[str, object]:
    """The members of an audit row that its hash covers."""
    return content(at=row.created_at, actor=row.actor, action=row.action, data=row.data)
