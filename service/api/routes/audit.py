"""The audit chain, for export."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from service.api.auth import Caller
from service.api.context import InContext
from service.api.paging import MAX_LIMIT, InPages
from service.api.problems import Responses, problems
from service.api.schemas.feed import AuditHeadRead, AuditPage
from service.api.views.feed import audit_head_read, audit_read
from service.api.visibility import require_unbound
from service.store.database import Store

router = APIRouter(prefix="/v1/audit", tags=["audit"])

NDJSON = "application/x-ndjson"
_EXPORT: Responses = {
    200: {
        "description": "A page, or with `Accept: application/x-ndjson` the whole chain and then its signed head, as "
        "`GET /v1/audit/head` gives it.",
        "content": {NDJSON: {}},
    }
}


@router.get("", response_model=AuditPage, responses={**_EXPORT, **problems(400)})
def export_audit(
    context: InContext, actor: Caller, paging: InPages, accept: Annotated[str, Header()] = "*/*"
) -> AuditPage | StreamingResponse:
    """Read the audit chain, oldest first: pages of JSON, or all of it as JSON lines that end in the signed head.

    A row's `hash` is SHA-256, in hex, over the JSON array of the previous row's hash (64 zeros before the first) and
    the object of `action`, `actor`, `at` and `data`: UTF-8, keys sorted, no white space. `at` is `created_at` with
    `+00:00` for `Z`.
    """
    require_unbound(actor)
    start = int(paging.position("audit") or 0)
    if NDJSON in accept:
        with context.store.read() as unit:
            head = audit_head_read(unit, context.vault)
        return StreamingResponse(audit_lines(context.store, start, head), media_type=NDJSON)
    with context.store.read() as unit:
        rows = unit.feed.audit_rows(start, paging.limit + 1)
    page = rows[: paging.limit]
    more = str(page[-1].seq) if len(rows) > len(page) else None
    return AuditPage(items=[audit_read(row) for row in page], next_cursor=paging.after(more, "audit"))


@router.get("/head")
def get_audit_head(context: InContext, actor: Caller) -> AuditHeadRead:
    """Read the newest row of the audit chain, signed. Keep it elsewhere: it pins all that is in the chain now."""
    require_unbound(actor)
    with context.store.read() as unit:
        return audit_head_read(unit, context.vault)


def audit_lines(store: Store, after: int, head: AuditHeadRead) -> Iterator[str]:
    """Up to the head, one short transaction a thousand rows, so that a slow reader holds nothing up."""
    while True:
        with store.read() as unit:
            rows = unit.feed.audit_rows(after, MAX_LIMIT, until=head.seq)
        if not rows:
            break
        for row in rows:
            yield audit_read(row).model_dump_json() + "\n"
        after = rows[-1].seq
    yield head.model_dump_json() + "\n"
