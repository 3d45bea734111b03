"""The keys of derived trees."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, select, update

from service.store.repositories.base import Repository
from service.store.repositories.texts import chunks
from service.store.tables import SealedTree


class TreeRepository(Repository):
    def add(self, row: SealedTree) -> None:
        self.session.add(row)
        self.session.flush()

    def find(self, prefix: str) -> SealedTree | None:
        return self.session.get(SealedTree, prefix)

    def many(self, prefixes: Iterable[str]) -> Mapping[str, SealedTree]:
        found: dict[str, SealedTree] = {}
        for chunk in chunks(list(prefixes)):
            rows = self.session.scalars(select(SealedTree).where(SealedTree.prefix.in_(chunk)))
            found.update((row.prefix, row) for row in rows)
        return found

    def open_of_line(self, line_id: str) -> list[str]:
        """The trees of a line whose keys are there, by prefix."""
        query = select(SealedTree.prefix).where(SealedTree.line_id == line_id, SealedTree.wrapped_key.is_not(None))
        return sorted(self.session.scalars(query))

    def shred(self, prefix: str, now: datetime) -> int:
        """Destroy the keys of the trees at and below `prefix`; returns how many there were."""
        below = SealedTree.prefix.startswith(f"{prefix}/", autoescape=True)
        return self._shred((SealedTree.prefix == prefix) | below, now)

    def shred_line(self, line_id: str, now: datetime) -> int:
        """Destroy the keys of all that was derived from a line's training data; returns how many there were."""
        return self._shred(SealedTree.line_id == line_id, now)

    def _shred(self, which: ColumnElement[bool], now: datetime) -> int:
        result = self.session.execute(
            update(SealedTree)
            .where(which, SealedTree.wrapped_key.is_not(None))
            .values(wrapped_key=None, shredded_at=now)
        )
        return int(result.rowcount)  # type: ignore[attr-defined]
