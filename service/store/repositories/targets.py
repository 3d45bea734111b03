"""Targets and what they ask of instances."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, insert, or_, select

from service.domain.adapters import Strategy
from service.domain.scheduling import Waiting
from service.domain.states import NEVER_SERVED, TargetState
from service.store.repositories.base import Repository
from service.store.repositories.texts import chunks
from service.store.tables import LedgerEntry, Line, Target, TargetEdit, UnlearningRequest, Version

# Below the policy's claim level a target may need attention although it was answered: that one is in the ledger.
_OPEN = or_(
    Target.state.in_((TargetState.awaiting_approval, TargetState.queued, TargetState.running)),
    and_(Target.state == TargetState.needs_attention, Target.version_id.is_(None)),
)


def _outlived(now: datetime) -> ColumnElement[bool]:
    """That a line is still trained on what a target was to end by now. What was held before its answer may wait."""
    has_tail = exists().where(LedgerEntry.target_id == Target.id, LedgerEntry.baked_id.is_(None))
    held = exists().where(UnlearningRequest.id == Target.request_id, UnlearningRequest.on_hold.is_(True))
    unanswered = and_(Target.version_id.is_(None), Target.state.not_in(NEVER_SERVED), ~held)
    return and_(Target.shred_by < now, or_(has_tail, unanswered))


def _waits(line_id: str, *, rebuild: bool) -> ColumnElement[bool]:
    """That a target waits for a run in this lane of the line."""
    wanted = Target.strategy == Strategy.rebuild if rebuild else Target.strategy != Strategy.rebuild
    queued = and_(Target.line_id == line_id, Target.state == TargetState.queued)
    return and_(queued, UnlearningRequest.on_hold.is_(False), wanted)


@dataclass(frozen=True, slots=True)
class NamedTarget:
    """A target with its line's name and the number of the version that answers it, if one does."""

    target: Target
    line: str
    version: int | None


class TargetRepository(Repository):
    def add(self, target: Target, edits: list[dict[str, object]]) -> None:
        self.session.add(target)
        self.session.flush()
        if edits:
            self.session.execute(insert(TargetEdit), edits)

    def get(self, target_id: str) -> Target:
        return self.session.get_one(Target, target_id)

    def of_request(self, request_id: str) -> Sequence[Target]:
        return self.session.scalars(select(Target).where(Target.request_id == request_id).order_by(Target.id)).all()

    def of_requests(self, request_ids: Iterable[str]) -> Mapping[str, Sequence[NamedTarget]]:
        """By request; one that affects no line is missing."""
        query = (
            select(Target, Line.name, Version.number)
            .join(Line, Line.id == Target.line_id)
            .outerjoin(Version, Version.id == Target.version_id)
            .where(Target.request_id.in_(list(request_ids)))
            .order_by(Target.id)
        )
        found: dict[str, list[NamedTarget]] = {}
        for target, line, version in self.session.execute(query):
            found.setdefault(target.request_id, []).append(NamedTarget(target, line, version))
        return found

    def of_run(self, run_id: str) -> Sequence[Target]:
        return self.session.scalars(select(Target).where(Target.run_id == run_id).order_by(Target.id)).all()

    def waiting(self, line_id: str, *, rebuild: bool) -> Sequence[Target]:
        """Queued targets of one lane, oldest first, without those on hold."""
        query = select(Target).join(UnlearningRequest, UnlearningRequest.id == Target.request_id)
        return self.session.scalars(query.where(_waits(line_id, rebuild=rebuild)).order_by(Target.id)).all()

    def waits(self, line_id: str, *, rebuild: bool) -> Sequence[Waiting]:
        """Since when, and how long at most, the queued targets of one lane wait."""
        query = (
            select(Target.created_at, Target.shred_by, UnlearningRequest.due_at, UnlearningRequest.urgent)
            .join(UnlearningRequest, UnlearningRequest.id == Target.request_id)
            .where(_waits(line_id, rebuild=rebuild))
        )
        rows = self.session.execute(query)
        return [Waiting(since, min(shred_by, due_at), urgent) for since, shred_by, due_at, urgent in rows]

    def lines_waiting(self) -> Sequence[tuple[str, Strategy]]:
        """(line, strategy) pairs that have queued targets."""
        query = (
            select(Target.line_id, Target.strategy)
            .join(UnlearningRequest, UnlearningRequest.id == Target.request_id)
            .where(Target.state == TargetState.queued, UnlearningRequest.on_hold.is_(False))
            .distinct()
        )
        return [(line_id, strategy) for line_id, strategy in self.session.execute(query)]

    def open_of_line(self, line_id: str) -> Sequence[Target]:
        """Targets whose edits are accepted but not yet in the ledger."""
        return self.session.scalars(select(Target).where(Target.line_id == line_id, _OPEN).order_by(Target.id)).all()

    def in_state(self, line_id: str, states: Iterable[TargetState]) -> Sequence[Target]:
        return self.session.scalars(
            select(Target).where(Target.line_id == line_id, Target.state.in_(list(states))).order_by(Target.id)
        ).all()

    def overdue(self, now: datetime) -> Sequence[Target]:
        """Targets whose data outlived `shred_by`, of which it was not told yet, locked until the transaction ends."""
        query = select(Target).where(_outlived(now), Target.overdue_at.is_(None)).order_by(Target.id)
        return self.session.scalars(query.with_for_update(of=Target, skip_locked=True)).all()

    def count_overdue(self, now: datetime) -> int:
        """How many targets there are whose data outlived `shred_by`."""
        return self.session.scalar(select(func.count()).select_from(Target).where(_outlived(now))) or 0

    def edits(self, target_ids: Sequence[str]) -> Sequence[TargetEdit]:
        """In order of the targets' age."""
        found: list[TargetEdit] = []
        for start in range(0, len(target_ids), 500):
            query = (
                select(TargetEdit)
                .where(TargetEdit.target_id.in_(target_ids[start : start + 500]))
                .order_by(TargetEdit.target_id, TargetEdit.instance_id)
            )
            found.extend(self.session.scalars(query))
        return found

    def edits_of(self, dataset_id: str, instance_ids: Iterable[str]) -> Sequence[TargetEdit]:
        """What targets of any line ever asked of these instances."""
        found: list[TargetEdit] = []
        for chunk in chunks(list(instance_ids)):
            query = select(TargetEdit).where(TargetEdit.dataset_id == dataset_id, TargetEdit.instance_id.in_(chunk))
            found.extend(self.session.scalars(query))
        return found

    def open_edits(self, line_id: str, instance_ids: Iterable[str]) -> Sequence[TargetEdit]:
        """What accepted but unpublished targets of a line ask of these instances, oldest first."""
        found: list[TargetEdit] = []
        for chunk in chunks(list(instance_ids)):
            query = (
                select(TargetEdit)
                .join(Target, Target.id == TargetEdit.target_id)
                .where(Target.line_id == line_id, _OPEN, TargetEdit.instance_id.in_(chunk))
            )
            found.extend(self.session.scalars(query))
        return sorted(found, key=lambda edit: edit.target_id)
