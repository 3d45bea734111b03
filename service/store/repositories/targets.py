"""Targets and what they ask of instances."""

from collections.abc import Iterable, Sequence

from sqlalchemy import and_, insert, or_, select

from service.domain.adapters import Strategy
from service.domain.states import TargetState
from service.store.repositories.base import Repository
from service.store.repositories.texts import chunks
from service.store.tables import Target, TargetEdit, UnlearningRequest

# Below the policy's claim level a target may need attention although it was answered: that one is in the ledger.
_OPEN = or_(
    Target.state.in_((TargetState.awaiting_approval, TargetState.queued, TargetState.running)),
    and_(Target.state == TargetState.needs_attention, Target.version_id.is_(None)),
)


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

    def of_run(self, run_id: str) -> Sequence[Target]:
        return self.session.scalars(select(Target).where(Target.run_id == run_id).order_by(Target.id)).all()

    def waiting(self, line_id: str, *, rebuild: bool) -> Sequence[Target]:
        """Queued targets of one lane, oldest first, without those on hold."""
        wanted = Target.strategy == Strategy.rebuild if rebuild else Target.strategy != Strategy.rebuild
        return self.session.scalars(
            select(Target)
            .join(UnlearningRequest, UnlearningRequest.id == Target.request_id)
            .where(
                Target.line_id == line_id,
                Target.state == TargetState.queued,
                UnlearningRequest.on_hold.is_(False),
                wanted,
            )
            .order_by(Target.id)
        ).all()

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
