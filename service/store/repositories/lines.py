"""Adapter lines and aliases."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from service.store.repositories.base import Page, Repository
from service.store.repositories.visibility import View
from service.store.tables import Alias, Line


class LineRepository(Repository):
    def add(self, row: Line | Alias) -> None:
        self.session.add(row)
        self.session.flush()

    def get(self, line_id: str) -> Line:
        return self.session.get_one(Line, line_id)

    def find(self, line_id: str) -> Line | None:
        return self.session.get(Line, line_id)

    def by_name(self, name: str) -> Line | None:
        return self.session.scalar(select(Line).where(Line.name == name))

    def lock(self, line_id: str) -> Line:
        """The line, locked until the transaction ends: publishing and aliasing happen one at a time."""
        query = select(Line).where(Line.id == line_id).with_for_update().execution_options(populate_existing=True)
        return self.session.scalars(query).one()

    def list(self) -> Sequence[Line]:
        return self.session.scalars(select(Line).order_by(Line.name)).all()

    def page_of_lines(self, *, after: str | None, limit: int, view: View | None = None) -> Page[Line]:
        query = select(Line) if view is None else select(Line).where(view.adapters())
        return self.page(query, Line.id, after=after, limit=limit)

    def active(self) -> Sequence[Line]:
        return self.session.scalars(select(Line).where(Line.retired_at.is_(None)).order_by(Line.name)).all()

    def anchors(self) -> frozenset[str]:
        """The versions that lines are solved from."""
        return frozenset(self.session.scalars(select(Line.anchor_id).where(Line.anchor_id.is_not(None))))

    def rebuild_due(self, now: datetime) -> Sequence[Line]:
        return self.session.scalars(select(Line).where(Line.rebuild_due_at <= now, Line.retired_at.is_(None))).all()

    def alias(self, line_id: str, name: str) -> Alias | None:
        return self.session.get(Alias, (line_id, name))

    def aliases(self, line_id: str) -> Sequence[Alias]:
        return self.session.scalars(select(Alias).where(Alias.line_id == line_id).order_by(Alias.name)).all()

    def with_canary(self) -> Sequence[Alias]:
        """Aliases on which a version is on trial."""
        return self.session.scalars(select(Alias).where(Alias.canary_id.is_not(None))).all()

    def remove_alias(self, alias: Alias) -> None:
        self.session.delete(alias)
