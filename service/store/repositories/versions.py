"""Versions of adapter lines."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import or_, select

from service.domain.runs import RunKind
from service.domain.states import VersionState
from service.store.repositories.base import Page, Repository
from service.store.tables import Run, Version


class VersionRepository(Repository):
    def add(self, version: Version) -> None:
        self.session.add(version)
        self.session.flush()

    def get(self, version_id: str) -> Version:
        return self.session.get_one(Version, version_id)

    def find(self, version_id: str | None) -> Version | None:
        return None if version_id is None else self.session.get(Version, version_id)

    def by_number(self, line_id: str, number: int) -> Version | None:
        return self.session.scalar(select(Version).where(Version.line_id == line_id, Version.number == number))

    def with_digest(self, line_id: str, beginning: str) -> Sequence[Version]:
        """The line's versions whose digest begins like this, oldest first."""
        return self.session.scalars(
            select(Version)
            .where(Version.line_id == line_id, Version.digest.startswith(beginning, autoescape=True))
            .order_by(Version.number)
        ).all()

    def with_digests(self, digests: Iterable[str]) -> Sequence[Version]:
        """The versions of all lines that have one of these digests."""
        return self.session.scalars(select(Version).where(Version.digest.in_(list(digests)))).all()

    def page_of_line(self, line_id: str, *, after: str | None, limit: int) -> Page[Version]:
        return self.page(select(Version).where(Version.line_id == line_id), Version.id, after=after, limit=limit)

    def of_line(self, line_id: str, *states: VersionState) -> Sequence[Version]:
        query = select(Version).where(Version.line_id == line_id).order_by(Version.number)
        if states:
            query = query.where(Version.state.in_(states))
        return self.session.scalars(query).all()

    def newest_of_run(self, run: Run) -> Version | None:
        """The newest version that a run published."""
        mine = select(Version).where(Version.line_id == run.line_id, Version.run_id == run.id)
        return self.session.scalar(mine.order_by(Version.number.desc()).limit(1))

    def lowest_covering(self, line_id: str, seq: int) -> Version | None:
        """The oldest version in service that covers the ledger up to `seq`."""
        return self.session.scalar(
            select(Version)
            .where(Version.line_id == line_id, Version.state == VersionState.ready, Version.ledger_seq >= seq)
            .order_by(Version.number)
            .limit(1)
        )

    def withdrawal_due(self, now: datetime) -> Sequence[Version]:
        return self.session.scalars(
            select(Version).where(Version.state == VersionState.ready, Version.withdraw_at <= now)
        ).all()

    def with_files(self) -> Sequence[Version]:
        """Versions that may refer to blobs: files, artefacts or uploads."""
        return self.session.scalars(
            select(Version).where(
                or_(
                    Version.blob_prefix.is_not(None),
                    Version.artefacts_prefix.is_not(None),
                    Version.kind == RunKind.import_,
                )
            )
        ).all()

    def blob_prefixes(self) -> set[str]:
        """Every blob prefix some version still refers to."""
        rows = self.session.scalars(
            select(Version).where(or_(Version.blob_prefix.is_not(None), Version.artefacts_prefix.is_not(None)))
        )
        return {
            prefix
            for row in rows
            for prefix in (row.blob_prefix, row.artefacts_prefix, *(fold["prefix"] for fold in row.out_of_fold or ()))
            if prefix
        }
