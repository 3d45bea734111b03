"""Which unlearning requests there are: pages of JSON, or one table."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from service.api import csv_table
from service.api.actor import Actor
from service.api.auth import Caller
from service.api.context import Context, InContext
from service.api.negotiation import AsCsv
from service.api.paging import InPages, Paging
from service.api.problems import problems
from service.api.schemas.request_lists import RequestPage, RequestSearch
from service.api.views.request_rows import COLUMNS, request_rows
from service.api.views.requests import PATH, requests_read
from service.api.visibility import view_of, visible_line
from service.domain.clocks import Moment
from service.domain.states import RequestState
from service.domain.subjects import identities_of
from service.store.database import Unit
from service.store.repositories import RequestFilter

router = APIRouter(prefix=PATH, tags=["requests"])

TABLE = csv_table.answers_csv(
    "A page, or with `Accept: text/csv` a table of all that match, from `cursor` on and whatever `limit` says. Its "
    f"columns: {', '.join(f'`{column}`' for column in COLUMNS)}. A cell that a spreadsheet would take for a formula "
    "starts with an apostrophe."
)


@router.get("", response_model=RequestPage, responses={**TABLE, **problems(400, 404)})
def list_requests(
    context: InContext,
    actor: Caller,
    paging: InPages,
    as_csv: AsCsv,
    response: Response,
    state: Annotated[RequestState | None, Query(description="Only those in this state.")] = None,
    adapter: Annotated[str | None, Query(max_length=63, description="Only those that affect this line.")] = None,
    client_reference: Annotated[str | None, Query(max_length=200, description="Only the one you filed as.")] = None,
    regulation: Annotated[str | None, Query(max_length=32, description="Only those under this clock.")] = None,
    created_after: Annotated[Moment | None, Query(description="Only those filed then or later.")] = None,
    created_before: Annotated[Moment | None, Query(description="Only those filed earlier.")] = None,
    due_before: Annotated[Moment | None, Query(description="Only those that are due earlier.")] = None,
    overdue: Annotated[bool, Query(description="Only those that are open past their due date.")] = False,
) -> RequestPage | StreamingResponse:
    """List unlearning requests, newest first.

    To look for a data subject, search with `POST /v1/unlearning-requests/search`: URLs are logged on their way.
    """
    search = RequestSearch.model_construct(
        state=state,
        adapter=adapter,
        client_reference=client_reference,
        regulation=regulation,
        created_after=created_after,
        created_before=created_before,
        due_before=due_before,
        overdue=overdue,
    )
    return _answer(_List(context, actor, paging), search, response, as_csv=as_csv)


@router.post("/search", response_model=RequestPage, responses={**TABLE, **problems(400, 404, 413, 415)})
def search_requests(
    body: RequestSearch, context: InContext, actor: Caller, paging: InPages, as_csv: AsCsv, response: Response
) -> RequestPage | StreamingResponse:
    """Search unlearning requests, newest first. Changes nothing; send the body again with every `cursor`."""
    return _answer(_List(context, actor, paging), body, response, as_csv=as_csv)


@dataclass(frozen=True, slots=True)
class _List:
    """Who reads which part of the list."""

    context: Context
    actor: Actor
    paging: Paging


def _answer(
    asked: _List, search: RequestSearch, response: Response, *, as_csv: bool
) -> RequestPage | StreamingResponse:
    response.headers["Vary"] = "Accept"
    with asked.context.store.read() as unit:
        wanted = _filter(unit, asked, search)
        filters = _named(search, wanted)
        start = asked.paging.position("requests", filters)
        if as_csv:
            return csv_table.respond(
                "unlearning-requests", list(COLUMNS), request_rows(asked.context.store, wanted, start)
            )
        page = unit.requests.list(wanted, after=start, limit=asked.paging.limit)
        items = requests_read(unit, page.items)
    return RequestPage(items=items, next_cursor=asked.paging.after(page.next, "requests", filters))


def _filter(unit: Unit, asked: _List, search: RequestSearch) -> RequestFilter:
    """The search as the store takes it, kept to what the actor sees. Data subjects are keyed hashes from here on."""
    hashes = asked.context.vault.hashes
    names = [name for one in identities_of(search.subject) for name in hashes.subject_names(one)]
    return RequestFilter(
        state=search.state,
        line_id=None if search.adapter is None else visible_line(unit, asked.actor, search.adapter).id,
        client_reference=search.client_reference,
        regulation=search.regulation,
        subject=tuple(names) or None,
        created_after=search.created_after,
        created_before=search.created_before,
        due_before=search.due_before,
        overdue_at=unit.now if search.overdue else None,
        view=view_of(asked.actor),
    )


def _named(search: RequestSearch, wanted: RequestFilter) -> dict[str, object]:
    """What a cursor is bound to: the filters, without anything that is another moment's or another caller's."""
    return {**search.model_dump(mode="json", exclude={"subject"}), "subject": wanted.subject}
