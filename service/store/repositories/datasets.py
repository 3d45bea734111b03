"""Datasets, instances, subjects and suppressions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, CompoundSelect, Select, bindparam, func, insert, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from service.store.repositories.base import Page, Repository
from service.store.repositories.texts import chunks
from service.store.repositories.visibility import View
from service.store.tables import (
    Dataset,
    InstanceRow,
    InstanceSubject,
    LedgerEntry,
    SubjectAlias,
    Suppression,
    TargetEdit,
)


class DatasetRepository(Repository):
    def add(self, dataset: Dataset, instances: list[dict[str, object]], subjects: list[dict[str, object]]) -> None:
        self.session.add(dataset)
        self.session.flush()
        self.session.execute(insert(InstanceRow), instances)
        if subjects:
            self.session.execute(insert(InstanceSubject), subjects)

    def add_aliases(self, aliases: Iterable[tuple[str, str]]) -> None:
        """Remember (alias, subject) pairs; known ones stay. In order, so that two uploads cannot lock each other."""
        rows = [{"alias_hash": alias, "subject_hash": subject} for alias, subject in sorted(set(aliases))]
        if rows:
            self.session.execute(self.insert_new(SubjectAlias), rows)

    def get(self, dataset_id: str) -> Dataset | None:
        return self.session.get(Dataset, dataset_id)

    def visible(self, dataset_id: str, view: View) -> bool:
        """Whether a bound key can see this dataset."""
        return self.session.scalar(select(Dataset.id).where(Dataset.id == dataset_id, view.datasets())) is not None

    def list(self, *, after: str | None, limit: int, view: View | None = None) -> Page[Dataset]:
        query = select(Dataset) if view is None else select(Dataset).where(view.datasets())
        return self.page(query, Dataset.id, after=after, limit=limit)

    def instances(self, dataset_id: str) -> Sequence[InstanceRow]:
        """All rows in upload order."""
        query = select(InstanceRow).where(InstanceRow.dataset_id == dataset_id).order_by(InstanceRow.position)
        return self.session.scalars(query).all()

    def some(self, dataset_id: str, instance_ids: Iterable[str]) -> dict[str, InstanceRow]:
        found: dict[str, InstanceRow] = {}
        for chunk in chunks(list(instance_ids)):
            query = select(InstanceRow).where(InstanceRow.dataset_id == dataset_id, InstanceRow.instance_id.in_(chunk))
            found.update((row.instance_id, row) for row in self.session.scalars(query))
        return found

    def ids_of_subjects(self, dataset_id: str, lookups: Iterable[str]) -> set[str]:
        """The instances that speak of a data subject with one of these names."""
        found: set[str] = set()
        for chunk in chunks(list(lookups)):
            query = select(InstanceSubject.instance_id).where(InstanceSubject.dataset_id == dataset_id, _named(chunk))
            found.update(self.session.scalars(query))
        return found

    def of_subjects(self, lookups: Iterable[str]) -> set[tuple[str, str]]:
        """(dataset, instance) of every row that speaks of one of these subjects, whoever uses the dataset."""
        found: set[tuple[str, str]] = set()
        for chunk in chunks(list(lookups)):
            query = select(InstanceSubject.dataset_id, InstanceSubject.instance_id).where(_named(chunk))
            found.update((dataset_id, instance_id) for dataset_id, instance_id in self.session.execute(query))
        return found

    def rename(self, dataset_id: str, names: Mapping[str, str]) -> None:
        """Give instances of a dataset other names, wherever they are named."""
        changes = [{"old": old, "new": new} for old, new in names.items() if old != new]
        if not changes:
            return
        self.session.flush()
        for table in (InstanceRow, InstanceSubject, TargetEdit, LedgerEntry):
            statement = (
                update(table)
                .where(table.dataset_id == dataset_id, table.instance_id == bindparam("old"))
                .values(instance_id=bindparam("new"))
            )
            self.session.connection().execute(statement, changes)
        self.session.expire_all()

    def sketches(self, dataset_id: str) -> dict[str, bytes]:
        """The sketch of every instance that has one."""
        query = select(InstanceRow.instance_id, InstanceRow.sketch).where(
            InstanceRow.dataset_id == dataset_id, InstanceRow.sketch.is_not(None)
        )
        return {instance_id: sketch for instance_id, sketch in self.session.execute(query) if sketch is not None}

    def forget_sketches(self, dataset_id: str, instance_ids: Iterable[str]) -> None:
        for chunk in chunks(list(instance_ids)):
            self.session.execute(
                update(InstanceRow)
                .where(InstanceRow.dataset_id == dataset_id, InstanceRow.instance_id.in_(chunk))
                .values(sketch=None)
            )

    def subjects(self, dataset_id: str) -> dict[str, str]:
        """Each instance's subjects as one opaque name, by instance id; instances without a subject are left out."""
        query = select(InstanceSubject.instance_id, InstanceSubject.subject_hash).where(
            InstanceSubject.dataset_id == dataset_id
        )
        return _names((instance_id, subject) for instance_id, subject in self.session.execute(query))

    def subjects_around(self, dataset_id: str, instance_ids: Iterable[str]) -> dict[str, str]:
        """What `subjects` says of these instances and of all that share a data subject with one of them."""
        shared = self._pairs(dataset_id, InstanceSubject.instance_id, instance_ids)
        around = self._pairs(dataset_id, InstanceSubject.subject_hash, {subject for _, subject in shared})
        return _names(self._pairs(dataset_id, InstanceSubject.instance_id, {name for name, _ in around}))

    def _pairs(
        self, dataset_id: str, column: InstrumentedAttribute[str], values: Iterable[str]
    ) -> set[tuple[str, str]]:
        """(instance, subject) of the rows with one of these values in a column."""
        found: set[tuple[str, str]] = set()
        for chunk in chunks([*values]):
            query = select(InstanceSubject.instance_id, InstanceSubject.subject_hash).where(
                InstanceSubject.dataset_id == dataset_id, column.in_(chunk)
            )
            found.update((instance_id, subject) for instance_id, subject in self.session.execute(query))
        return found

    def duplicates(self, dataset_id: str, content_hashes: Iterable[str]) -> Sequence[str]:
        """Ids of all instances with one of these contents."""
        found: list[str] = []
        for chunk in chunks(list(content_hashes)):
            query = select(InstanceRow.instance_id).where(
                InstanceRow.dataset_id == dataset_id, InstanceRow.content_hash.in_(chunk)
            )
            found.extend(self.session.scalars(query))
        return found

    def suppress(self, kind: str, hashes: Iterable[str], *, line_id: str, request_id: str, now: datetime) -> None:
        """Remember keyed hashes of what was erased. Known ones stay as they are."""
        for value in sorted(set(hashes)):
            if self.session.get(Suppression, (kind, value, line_id)) is None:
                self.session.add(
                    Suppression(kind=kind, hash=value, line_id=line_id, request_id=request_id, created_at=now)
                )

    def shared_count(self, dataset_id: str, other_id: str) -> int:
        """How many instance ids two datasets have in common."""
        others = select(InstanceRow.instance_id).where(InstanceRow.dataset_id == other_id)
        query = select(func.count()).where(InstanceRow.dataset_id == dataset_id, InstanceRow.instance_id.in_(others))
        return self.session.scalar(query) or 0

    def suppressed_count(self, dataset_id: str, line_id: str) -> int:
        """How many instances of a dataset are on the suppression list of this line or of all lines."""
        both = self._suppressed(dataset_id, line_id).subquery()
        return self.session.scalar(select(func.count()).select_from(both)) or 0

    def suppressed_ids(self, dataset_id: str, line_id: str) -> set[str]:
        """The instances of a dataset that are on the suppression list of this line or of all lines."""
        return set(self.session.scalars(self._suppressed(dataset_id, line_id)))

    def _suppressed(self, dataset_id: str, line_id: str) -> CompoundSelect[str]:
        scope = Suppression.line_id.in_(["", line_id])
        by_content = select(InstanceRow.instance_id).where(
            InstanceRow.dataset_id == dataset_id,
            InstanceRow.content_hash.in_(select(Suppression.hash).where(Suppression.kind == "content", scope)),
        )
        by_subject = select(InstanceSubject.instance_id).where(
            InstanceSubject.dataset_id == dataset_id,
            _named(select(Suppression.hash).where(Suppression.kind == "subject", scope)),
        )
        return by_content.union(by_subject)


def _named(lookups: list[str] | Select[str]) -> ColumnElement[bool]:
    """Whether a row's data subject has one of these names, or an alias among them."""
    aliased = select(SubjectAlias.subject_hash).where(SubjectAlias.alias_hash.in_(lookups))
    return or_(InstanceSubject.subject_hash.in_(lookups), InstanceSubject.subject_hash.in_(aliased))


def _names(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each instance's subjects as one name, whatever order they come in."""
    found: dict[str, str] = {}
    for instance_id, subject in sorted(pairs, key=lambda pair: pair[1]):
        found[instance_id] = f"{found[instance_id]}+{subject}" if instance_id in found else subject
    return found
