"""What others send in, and the audit chain: pages that only show."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from service.api.desk.page import render
from service.api.desk.route import DeskRoute
from service.api.desk.visit import Visit, permitted
from service.api.paging import Paging
from service.api.routes.audit import NDJSON, audit_lines
from service.api.routes.inbound_endpoints import inbound_endpoint_read
from service.api.views.feed import audit_head_read, audit_read

router = APIRouter(prefix="/desk", route_class=DeskRoute, include_in_schema=False)

_PAGE, _NEWEST = 50, 100


@router.get("/inbound")
def list_inbound(
    request: Request,
    visit: Annotated[Visit, permitted("list_inbound_endpoints")],
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> Response:
    paging = Paging(visit.context.vault.sealer, visit.actor.id, cursor, _PAGE)
    with visit.context.store.read() as unit:
        page = unit.inbound.list(after=paging.position("desk inbound"), limit=paging.limit)
        endpoints = [inbound_endpoint_read(unit, row) for row in page.items]
    return render(request, "inbound.html", endpoints=endpoints, older=paging.after(page.next, "desk inbound"))


@router.get("/audit")
def show_audit(request: Request, visit: Annotated[Visit, permitted("export_audit")]) -> Response:
    with visit.context.store.read() as unit:
        head = unit.feed.audit_head()
        rows = [audit_read(row) for row in unit.feed.newest_audit_rows(_NEWEST)]
    return render(request, "audit.html", head=head, rows=rows)


@router.get("/audit/export")
def export_audit(visit: Annotated[Visit, permitted("export_audit")]) -> StreamingResponse:
    """All of it as JSON lines that end in the signed head, as the API gives it."""
    with visit.context.store.read() as unit:
        head = audit_head_read(unit, visit.context.vault)
    headers = {"Content-Disposition": 'attachment; filename="audit.ndjson"'}
    return StreamingResponse(audit_lines(visit.context.store, 0, head), media_type=NDJSON, headers=headers)
