"""Sealed texts."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import insert, select, update

from service.store.repositories.base import Repository
from service.store.tables import SealedText


class TextRepository(Repository):
    def add(self, rows: list[dict[str, object]]) -> None:
        """Insert `{id, ciphertext, wrapped_key}` rows."""
        if rows:
            self.session.execute(insert(SealedText), rows)

    def get(self, text_id: str) -> SealedText:
        return self.session.get_one(SealedText, text_id)

    def many(self, text_ids: Iterable[str]) -> Mapping[str, SealedText]:
        found: dict[str, SealedText] = {}
        for chunk in chunks(list(text_ids)):
            rows = self.session.scalars(select(SealedText).where(SealedText.id.in_(chunk)))
            found.update((row.id, row) for row in rows)
        return found

    def shred(self, text_ids: Iterable[str], now: datetime) -> int:
        """Destroy the keys of these texts; returns how many still had one."""
        count = 0
        for chunk in chunks(list(text_ids)):
            result = self.session.execute(
                update(SealedText)
                .where(SealedText.id.in_(chunk), SealedText.wrapped_key.is_not(None))
                .values(wrapped_key=None, ciphertext=b"", shredded_at=now)
            )
            count += result.rowcount  # type: ignore[attr-defined]
        return count


def chunks(items: list[str], size: int = 500) -> Iterable[list[str]]:
    """Slices that stay below both databases' limit of bound parameters."""
    return (items[start : start + size] for start in range(0, len(items), size))
