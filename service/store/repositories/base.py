"""What every repository shares: its session, and keyset pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A slice of a list; `next` is the key to go on from, None at the end."""

    items: Sequence[Row]
    next: str | None


class Repository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def insert_new(self, table: type[Any]) -> "postgresql.Insert | sqlite.Insert":
        """An insert that leaves rows whose key is taken as they are.

        It waits for a transaction that is just taking the key.
        """
        flavour = postgresql.insert if self.session.get_bind().dialect.name == "postgresql" else sqlite.insert
        return flavour(table).on_conflict_do_nothing()

    def page(self, query: Select[Row], key: InstrumentedAttribute[str], *, after: str | None, limit: int) -> Page[Row]:
        """One keyset page, newest first: typed ids sort by creation time."""
        if after is not None:
            query = query.where(key < after)
        rows = self.session.scalars(query.order_by(key.desc()).limit(limit + 1)).all()
        more = len(rows) > limit
        items = rows[:limit]
        last: Any = items[-1] if more else None
        return Page(items, getattr(last, key.key) if more else None)
