"""The figures of a period: how many requests there were, what became of them, and how long the answers took."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response

from service.api import csv_table
from service.api.context import InContext
from service.api.desk.forms import Fields
from service.api.desk.page import render
from service.api.desk.route import DeskRoute
from service.api.desk.visit import Visit, permitted
from service.api.schemas.reports import FiguresRead, SummaryRead
from service.api.views.reports import COLUMNS, summary_read, summary_rows
from service.api.visibility import view_of, visible_line
from service.domain.decisions import MEANINGS
from service.store.database import Unit
from service.store.repositories import RequestFilter

ADDRESS = "/desk/summary"

router = APIRouter(prefix=ADDRESS, route_class=DeskRoute, include_in_schema=False)

MaySum = Annotated[Visit, permitted("get_summary")]


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days by the deployment's clock, the last one included. None: open at that end."""

    first: date | None
    last: date | None

    def bounds(self, zone: tzinfo) -> tuple[datetime | None, datetime | None]:
        """Its begin, and the moment after its end."""
        next_day = None if self.last is None else self.last + timedelta(days=1)
        return _midnight(self.first, zone), _midnight(next_day, zone)

    @property
    def named(self) -> dict[str, str]:
        """As an address has it: an end that is open is empty."""
        first, last = ("" if day is None else day.isoformat() for day in (self.first, self.last))
        return {"first": first, "last": last}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is counted. Empty: any regulation, any line."""

    period: Period
    regulation: str
    adapter: str

    def address(self, period: Period | None = None, *, below: str = "") -> str:
        others = {"regulation": self.regulation, "adapter": self.adapter}
        named = {**(period or self.period).named, **{name: value for name, value in others.items() if value}}
        return f"{ADDRESS}{below}?{urlencode(named)}"

    def of(self, unit: Unit, visit: Visit) -> SummaryRead:
        """Kept to what the actor sees. Raises NotFound: there is no such line."""
        after, before = self.period.bounds(visit.context.settings.zone)
        wanted = RequestFilter(
            line_id=visible_line(unit, visit.actor, self.adapter).id if self.adapter else None,
            regulation=self.regulation or None,
            received_after=after,
            received_before=before,
            view=view_of(visit.actor),
        )
        return summary_read(unit.reports.summary(wanted, unit.now), wanted)


def _asked(
    context: InContext,
    first: Annotated[str | None, Query(max_length=10)] = None,
    last: Annotated[str | None, Query(max_length=10)] = None,
    regulation: Annotated[str, Query(max_length=32)] = "",
    adapter: Annotated[str, Query(max_length=63)] = "",
) -> Asked:
    """This year, unless days are given. Raises InvalidInput: one of them is none."""
    days = Fields({"first": [first or ""], "last": [last or ""]})
    if first is None and last is None:
        period = periods(_today(context.settings.zone))["This year"]
    else:
        period = Period(days.day("first"), days.day("last"))
    return Asked(period, regulation.strip(), adapter.strip())


InAsked = Annotated[Asked, Depends(_asked)]


@router.get("")
def show_summary(request: Request, visit: MaySum, asked: InAsked) -> Response:
    with visit.context.store.read() as unit:
        read = asked.of(unit, visit)
        lines = [line.name for line in unit.lines.list() if visit.actor.sees(line.name)]
    return render(
        request,
        "summary.html",
        asked=asked,
        read=read,
        groups=_groups(read),
        lines=lines,
        periods=periods(_today(visit.context.settings.zone)),
        meanings=MEANINGS,
    )


@router.get(".csv")
def export_summary(visit: MaySum, asked: InAsked) -> Response:
    with visit.context.store.read() as unit:
        read = asked.of(unit, visit)
    return csv_table.respond("summary", COLUMNS, summary_rows(read))


def periods(today: date) -> Mapping[str, Period]:
    """Those that are asked for most."""
    month, year = today.replace(day=1), today.replace(month=1, day=1)
    day = timedelta(days=1)
    return {
        "This month": Period(month, today),
        "Last month": Period((month - day).replace(day=1), month - day),
        "This year": Period(year, today),
        "Last year": Period(year.replace(year=year.year - 1), year - day),
        "From the beginning": Period(None, None),
    }


def _midnight(day: date | None, zone: tzinfo) -> datetime | None:
    return None if day is None else datetime.combine(day, time.min, tzinfo=zone)


def _today(zone: tzinfo) -> date:
    return datetime.now(UTC).astimezone(zone).date()


def _groups(read: SummaryRead) -> Mapping[str, list[tuple[str, FiguresRead]]]:
    """The rows of the table, below what they are told apart by."""
    return {
        "all": [("All", read.total)],
        "regulation": [(one.regulation or "No regulation", one) for one in read.by_regulation],
        "operation": [(one.operation, one) for one in read.by_operation],
    }
