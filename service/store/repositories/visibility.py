"""What a key that is bound to adapter lines can see, as conditions for queries."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, or_, select

from service.store.tables import Dataset, Event, Line, Run, Target, UnlearningRequest, Version


@dataclass(frozen=True, slots=True)
class View:
    """The view of one key. `lines`: the names of its lines."""

    key_id: str
    lines: frozenset[str]

    def adapters(self) -> ColumnElement[bool]:
        return Line.name.in_(self.lines)

    def runs(self) -> ColumnElement[bool]:
        return Run.line_id.in_(self._line_ids())

    def requests(self) -> ColumnElement[bool]:
        """Its own requests, and those that affect no line but its own ones."""
        inside = select(Target.request_id).where(Target.line_id.in_(self._line_ids()))
        outside = select(Target.request_id).where(Target.line_id.not_in(self._line_ids()))
        wholly_inside = and_(UnlearningRequest.id.in_(inside), UnlearningRequest.id.not_in(outside))
        return or_(UnlearningRequest.created_by == self.key_id, wholly_inside)

    def datasets(self) -> ColumnElement[bool]:
        """Its own datasets, and those its lines are trained on or measured with."""
        used = select(Version.dataset_id).where(Version.line_id.in_(self._line_ids()))
        held = select(Version.holdout_id).where(Version.line_id.in_(self._line_ids()), Version.holdout_id.is_not(None))
        return or_(Dataset.created_by == self.key_id, Dataset.id.in_(used), Dataset.id.in_(held))

    def events(self) -> ColumnElement[bool]:
        visible = select(UnlearningRequest.id).where(self.requests())
        return or_(Event.adapter.in_(self.lines), Event.request_id.in_(visible))

    def _line_ids(self) -> Select[str]:
        return select(Line.id).where(Line.name.in_(self.lines))
