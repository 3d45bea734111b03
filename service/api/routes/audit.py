"""The audit chain, for export."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from service.api.auth import Caller
from service.api.context import InContext
from service.api.paging import MAX_LIMIT, InPages
from service.api.problems import Responses, problems
from service.api.schemas.feed import AuditPage
from service.api.views.feed import audit_read
from service.api.visibility import require_unbound
from service.store.database import Store

router = APIRouter(prefix="/v1/audit", tags=["audit"])

NDJSON = "application/x-ndjson"
_EXPORT: Responses = {
    200: {"description": "A page, or with `Accept: application/x-ndjson` the whole chain.", "content": {NDJSON: {}}}
}


@router.get("", response_model=AuditPage, responses={**_EXPORT, **problems(400)})
def export_audit(
    context: InContext, actor: Caller, paging: InPages, accept: Annotated[str, Header()] = "*/*"
) -> AuditPage | StreamingResponse:
    """Read the audit chain, oldest first: pages of JSON, or all of it as JSON lines."""
    require_unbound(actor)
    start = int(paging.position("audit") or 0)
    if NDJSON in accept:
        return StreamingResponse(_lines(context.store, start), media_type=NDJSON)
    with context.store.read() as unit:
        rows = unit.feed.audit_rows(start, paging.limit + 1)
    page = rows[: paging.limit]
    more = str(page[-1].seq) if len(rows) > len(page) else None
    return AuditPage(items=[audit_read(row) for row in page], next_cursor=paging.after(more, "audit"))


def _lines(store: Store, after: int) -> Iterator[str]:
    """One short transaction a thousand rows, so that a slow reader holds nothing up."""
    while True:
        with store.read() as unit:
            rows = unit.feed.audit_rows(after, MAX_LIMIT)
        if not rows:
            return
        for row in rows:
            yield audit_read(row).model_dump_json() + "\n"
        after = rows[-1].seq
