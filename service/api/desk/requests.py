"""The table of requests: filtered by what is in the address, one page at a time, or all of it for a spreadsheet."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.api import csv_table
from service.api.desk.filters import ADDRESS, InFilters, filters_of, subject_names
from service.api.desk.forms import OwnFields
from service.api.desk.page import render, see
from service.api.desk.route import DeskRoute
from service.api.desk.visit import Visit, permitted
from service.api.paging import Paging
from service.api.views.request_rows import COLUMNS, request_rows
from service.api.views.requests import requests_read
from service.domain.states import RequestState
from service.domain.subjects import SubjectKind

router = APIRouter(prefix=ADDRESS, route_class=DeskRoute, include_in_schema=False)

PAGE = 50

MayList = Annotated[Visit, permitted("list_requests")]


@router.get("")
def list_requests(
    request: Request,
    visit: MayList,
    wanted: InFilters,
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> Response:
    paging = Paging(visit.context.vault.sealer, visit.actor.id, cursor, PAGE)
    with visit.context.store.read() as unit:
        asked = wanted.as_stored(unit, visit)
        page = unit.requests.list(asked, after=paging.position("desk requests", wanted.named), limit=paging.limit)
        rows = requests_read(unit, page.items)
        lines = [line.name for line in unit.lines.list() if visit.actor.sees(line.name)]
    older = paging.after(page.next, "desk requests", wanted.named)
    return render(
        request,
        "requests.html",
        rows=rows,
        wanted=wanted,
        states=RequestState,
        kinds=SubjectKind,
        lines=lines,
        older=None if older is None else wanted.address(cursor=older),
        is_first=cursor is None,
    )


@router.get(".csv")
def export_requests(visit: MayList, wanted: InFilters) -> Response:
    with visit.context.store.read() as unit:
        asked = wanted.as_stored(unit, visit)
    return csv_table.respond("unlearning-requests", list(COLUMNS), request_rows(visit.context.store, asked))


@router.post("/subject")
def find_subject(visit: Annotated[Visit, permitted("search_requests")], fields: OwnFields) -> Response:
    """Look for a data subject: the address of what is found holds keyed hashes instead of who was typed in."""
    return see(filters_of(fields, subject=subject_names(visit, fields)).address())
