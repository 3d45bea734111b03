"""Figures over many requests, computed by the database."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, Float, Label, and_, case, cast, extract, func, literal, or_, select

from service.domain.decisions import RejectionCode
from service.domain.reports import NOTHING, Figures, Summary
from service.domain.states import TERMINAL_REQUEST_STATES, Outcome, RequestState
from service.store.repositories.base import Repository
from service.store.repositories.request_filter import RequestFilter, is_overdue
from service.store.tables import OperationRow, UnlearningRequest

_R = UnlearningRequest
_COMPLIED = and_(_R.state == RequestState.succeeded, _R.outcome.in_((Outcome.done, Outcome.partial)))
_NO_MATCH = and_(_R.state == RequestState.succeeded, _R.outcome == Outcome.no_match)
_DENIED = _R.state == RequestState.rejected
_ANSWERED = or_(_COMPLIED, _NO_MATCH, _DENIED)


class ReportRepository(Repository):
    def summary(self, wanted: RequestFilter, now: datetime) -> Summary:
        rows = self._rows(wanted, now)
        types = select(OperationRow.request_id, OperationRow.type).distinct().subquery()
        by_type = select(types.c.type.label("key"), *self._facts(rows)).join(rows, rows.c.id == types.c.request_id)
        all_ = select(literal("all").label("key"), *self._facts(rows))
        by_regulation = select(rows.c.regulation.label("key"), *self._facts(rows))
        return Summary(
            total=self._figures(all_.cte()).get("all", NOTHING),
            by_regulation=self._figures(by_regulation.cte()),
            by_operation=self._figures(by_type.cte()),
            denials=self._denials(wanted),
        )

    def _denials(self, wanted: RequestFilter) -> Mapping[RejectionCode, int]:
        query = (
            select(_R.rejection_code, func.count()).where(_DENIED, *wanted.conditions()).group_by(_R.rejection_code)
        )
        return {code or RejectionCode.other: count for code, count in self.session.execute(query)}

    def _rows(self, wanted: RequestFilter, now: datetime) -> CTE:
        """A row a request: what it counts as, 0 or 1 each, and the days until its answer."""
        flags = {
            "received": literal(1),
            "complied": _flag(_COMPLIED),
            "denied": _flag(_DENIED),
            "no_match": _flag(_NO_MATCH),
            "canceled": _flag(_R.state == RequestState.canceled),
            "failed": _flag(_R.state == RequestState.failed),
            "open": _flag(_R.state.not_in(TERMINAL_REQUEST_STATES)),
            "overdue": _flag(is_overdue(now)),
            "in_time": _flag(and_(_ANSWERED, _R.finished_at <= _R.due_at)),
            "late": _flag(and_(_ANSWERED, _R.finished_at > _R.due_at)),
            "days": case((_ANSWERED, self._days())),
        }
        named = [column.label(name) for name, column in flags.items()]
        return select(_R.id, _R.regulation, *named).where(*wanted.conditions()).cte()

    def _days(self) -> ColumnElement[Any]:
        """Days from receipt to the end, as a fraction."""
        if self.session.get_bind().dialect.name == "postgresql":
            return cast(extract("epoch", _R.finished_at - _R.received_at), Float) / 86_400
        return func.julianday(_R.finished_at) - func.julianday(_R.received_at)

    @staticmethod
    def _facts(rows: CTE) -> list[Label[Any]]:
        return [column.label(column.name) for column in rows.c if column.name not in ("id", "regulation")]

    def _figures(self, rows: CTE) -> dict[Any, Figures]:
        """The figures of each `key`. A mean over the middle one or two of the ordered days is their median."""
        counted = [column for column in rows.c if column.name not in ("key", "days")]
        sums = [func.sum(column).label(column.name) for column in counted]
        query = select(rows.c.key, *sums, func.avg(rows.c.days).label("mean_days")).group_by(rows.c.key)
        days, key = rows.c.days, rows.c.key
        rank = func.row_number().over(partition_by=key, order_by=days).label("rank")
        size = func.count().over(partition_by=key).label("size")
        ranked = select(key, days, rank, size).where(days.is_not(None)).cte()
        middle = (ranked.c.rank * 2).between(ranked.c.size, ranked.c.size + 2)
        medians = select(ranked.c.key, func.avg(ranked.c.days)).where(middle).group_by(ranked.c.key)
        median_of = dict(self.session.execute(medians).all())
        found = {}
        for row in self.session.execute(query).mappings():
            counts = {column.name: int(row[column.name]) for column in counted}
            found[row["key"]] = Figures(**counts, mean_days=row["mean_days"], median_days=median_of.get(row["key"]))
        return found


def _flag(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)
