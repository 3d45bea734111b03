"""Reports over many unlearning requests."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from service.api import csv_table
from service.api.auth import Caller
from service.api.context import InContext
from service.api.negotiation import AsCsv
from service.api.problems import problems
from service.api.schemas.reports import SummaryRead
from service.api.views.reports import COLUMNS, summary_read, summary_rows
from service.api.visibility import view_of, visible_line
from service.domain.clocks import Moment
from service.store.repositories import RequestFilter

router = APIRouter(prefix="/v1/reports", tags=["reports"])

TABLE = csv_table.answers_csv(
    f"The figures, or with `Accept: text/csv` a table of them. Its columns: {', '.join(f'`{c}`' for c in COLUMNS)}. "
    "`group` is `total`, `regulation`, `operation` or `denial`, whose counts are in `denied`."
)


@router.get("/summary", response_model=SummaryRead, responses={**TABLE, **problems(404)})
def get_summary(
    context: InContext,
    actor: Caller,
    as_csv: AsCsv,
    response: Response,
    received_after: Annotated[Moment | None, Query(description="Only those received then or later.")] = None,
    received_before: Annotated[Moment | None, Query(description="Only those received earlier.")] = None,
    regulation: Annotated[str | None, Query(max_length=32, description="Only those under this clock.")] = None,
    adapter: Annotated[str | None, Query(max_length=63, description="Only those that affect this line.")] = None,
) -> SummaryRead | StreamingResponse:
    """Count the requests of a period and what became of them, and how long the answers took.

    These are the figures that California asks for (section 7102): received, complied with, denied, and days. A key
    that is bound to lines counts what it sees.
    """
    response.headers["Vary"] = "Accept"
    with context.store.read() as unit:
        wanted = RequestFilter(
            line_id=None if adapter is None else visible_line(unit, actor, adapter).id,
            regulation=regulation,
            received_after=received_after,
            received_before=received_before,
            view=view_of(actor),
        )
        read = summary_read(unit.reports.summary(wanted, unit.now), wanted)
    return csv_table.respond("summary", COLUMNS, summary_rows(read)) if as_csv else read
