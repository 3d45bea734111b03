"""The first page: how much is open, what presses, and what happened last."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Request, Response

from service.api.desk.history import Happening, happening
from service.api.desk.page import render
from service.api.desk.route import DeskRoute
from service.api.desk.visit import Visit, anyone_signed_in
from service.api.schemas.requests import RequestRead
from service.api.views.requests import request_read
from service.api.visibility import view_of
from service.domain.events import NOISE
from service.domain.states import RequestState
from service.store.database import Unit
from service.store.repositories import RequestFilter

router = APIRouter(route_class=DeskRoute, include_in_schema=False)

_PRESSING, _NEWEST = 8, 12


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of requests, and those that are due first."""

    open: int
    overdue: int
    due_soon: int
    needs_attention: int
    awaiting_approval: int
    pressing: list[RequestRead]


@router.get("/")
def show_start(request: Request, visit: Annotated[Visit, anyone_signed_in()]) -> Response:
    with visit.context.store.read() as unit:
        summary = _summary(unit, visit) if visit.may("list_requests") else None
        events = _newest(unit, visit) if visit.may("list_events") else None
    return render(request, "start.html", summary=summary, events=events)


def _summary(unit: Unit, visit: Visit) -> Summary:
    open_ = RequestFilter(is_open=True, view=view_of(visit.actor))
    soon = replace(open_, due_after=unit.now, due_before=unit.now + visit.context.settings.due_soon)
    pressing = unit.requests.due_first(open_, limit=_PRESSING)
    return Summary(
        open=unit.requests.count(open_),
        overdue=unit.requests.count(replace(open_, due_before=unit.now)),
        due_soon=unit.requests.count(soon),
        needs_attention=unit.requests.count(replace(open_, state=RequestState.needs_attention)),
        awaiting_approval=unit.requests.count(replace(open_, state=RequestState.awaiting_approval)),
        pressing=[request_read(unit, one) for one in pressing],
    )


def _newest(unit: Unit, visit: Visit) -> list[Happening]:
    rows = unit.feed.newest_events(_NEWEST, without=NOISE, view=view_of(visit.actor))
    return [happening(row) for row in rows]
