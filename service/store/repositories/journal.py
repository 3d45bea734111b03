"""Rows of the erasure journal."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import func, select, text, update

from service.store.repositories.base import Repository
from service.store.repositories.texts import chunks
from service.store.tables import JournalRow

# Any constant; it names the lock under which what a restore undid is done again on PostgreSQL.
_REAPPLY_LOCK = 0x1E7F


class JournalRepository(Repository):
    def add(self, row: JournalRow) -> None:
        self.session.add(row)
        self.session.flush()

    def ids(self) -> set[str]:
        return set(self.session.scalars(select(JournalRow.id)))

    def written(self) -> set[str]:
        """The rows that the journal was given."""
        return set(self.session.scalars(select(JournalRow.id).where(JournalRow.written_at.is_not(None))))

    def unwritten(self, limit: int) -> Sequence[JournalRow]:
        """Rows that the journal does not have yet, oldest first."""
        query = select(JournalRow).where(JournalRow.written_at.is_(None)).order_by(JournalRow.id).limit(limit)
        return self.session.scalars(query).all()

    def count_unwritten(self) -> int:
        return self.session.scalar(select(func.count()).where(JournalRow.written_at.is_(None))) or 0

    def mark(self, ids: Iterable[str], *, written_at: datetime | None) -> None:
        """Say since when the journal has these rows; None: it does not."""
        for chunk in chunks(list(ids)):
            self.session.execute(update(JournalRow).where(JournalRow.id.in_(chunk)).values(written_at=written_at))

    def lock(self) -> None:
        """Until the transaction ends, nobody else does again what a restore undid."""
        if self.session.get_bind().dialect.name == "postgresql":
            self.session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _REAPPLY_LOCK})
