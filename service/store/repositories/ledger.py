"""Ledger entries of adapter lines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import distinct, func, select, update

from service.store.repositories.base import Repository
from service.store.repositories.texts import chunks
from service.store.tables import LedgerEntry, Target


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """Entries of a line since it began; `tail`: those that its anchor was not trained without."""

    removed: int
    changed: int
    tail: int


class LedgerRepository(Repository):
    def append(self, entries: Sequence[LedgerEntry]) -> None:
        self.session.add_all(entries)
        self.session.flush()

    def of_line(self, line_id: str) -> Sequence[LedgerEntry]:
        """Every entry ever, in order."""
        return self.session.scalars(
            select(LedgerEntry).where(LedgerEntry.line_id == line_id).order_by(LedgerEntry.seq)
        ).all()

    def counts(self, line_id: str) -> LedgerCounts:
        removed = func.count().filter(LedgerEntry.text_id.is_(None))
        tail = func.count().filter(LedgerEntry.baked_id.is_(None))
        query = select(removed, func.count() - removed, tail).where(LedgerEntry.line_id == line_id)
        return LedgerCounts(*self.session.execute(query).one())

    def of_instances(self, line_id: str, dataset_id: str, instance_ids: Iterable[str]) -> Sequence[LedgerEntry]:
        """A line's entries about these instances, in order."""
        found: list[LedgerEntry] = []
        for chunk in chunks(list(instance_ids)):
            query = select(LedgerEntry).where(
                LedgerEntry.line_id == line_id,
                LedgerEntry.dataset_id == dataset_id,
                LedgerEntry.instance_id.in_(chunk),
            )
            found.extend(self.session.scalars(query))
        return sorted(found, key=lambda entry: entry.seq)

    def removed_count(self, line_id: str, dataset_id: str) -> int:
        """How many instances of a dataset have left the line. A removal is final, so one entry tells."""
        return (
            self.session.scalar(
                select(func.count(distinct(LedgerEntry.instance_id))).where(
                    LedgerEntry.line_id == line_id,
                    LedgerEntry.dataset_id == dataset_id,
                    LedgerEntry.text_id.is_(None),
                )
            )
            or 0
        )

    def of_dataset(self, dataset_id: str) -> Sequence[LedgerEntry]:
        """Entries of every line that concern this dataset, in order."""
        return self.session.scalars(
            select(LedgerEntry).where(LedgerEntry.dataset_id == dataset_id).order_by(LedgerEntry.seq)
        ).all()

    def highest_seq(self, target_id: str) -> int | None:
        """The place of a target's last entry; None if it left none."""
        return self.session.scalar(select(func.max(LedgerEntry.seq)).where(LedgerEntry.target_id == target_id))

    def bake(self, line_id: str, entry_ids: Sequence[str], version_id: str) -> None:
        """Mark entries as trained into an anchor."""
        for start in range(0, len(entry_ids), 500):
            self.session.execute(
                update(LedgerEntry)
                .where(LedgerEntry.line_id == line_id, LedgerEntry.id.in_(entry_ids[start : start + 500]))
                .values(baked_id=version_id)
            )
        self.session.expire_all()

    def tail_length(self, line_id: str) -> int:
        """How many instances have an entry outside the anchor."""
        changed = select(LedgerEntry.dataset_id, LedgerEntry.instance_id).where(
            LedgerEntry.line_id == line_id, LedgerEntry.baked_id.is_(None)
        )
        return self.session.scalar(select(func.count()).select_from(changed.distinct().subquery())) or 0

    def shred_by(self, line_id: str) -> datetime | None:
        """The earliest date by which something outside the anchor is to be shredded."""
        query = (
            select(func.min(Target.shred_by))
            .join(LedgerEntry, LedgerEntry.target_id == Target.id)
            .where(LedgerEntry.line_id == line_id, LedgerEntry.baked_id.is_(None))
        )
        return self.session.scalar(query)

    def targets_with_tail(self, line_id: str) -> set[str]:
        """Targets that still have an entry outside the anchor."""
        query = select(LedgerEntry.target_id).where(LedgerEntry.line_id == line_id, LedgerEntry.baked_id.is_(None))
        return set(self.session.scalars(query))
