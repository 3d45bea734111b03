"""`lethe report`: what was measured for a request, on the terminal or as a page."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.reports import report_tables


@talks_to_service
def report(
    session: Session,
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="The request (req_…).")],
    *,
    html: Annotated[
        Path | None, typer.Option("--html", dir_okay=False, help="Write the page for people there.")
    ] = None,
) -> None:
    """Show what was measured for a request."""
    found = session.client.get_report(request)
    session.output.one(found, report_tables(found))
    if html is not None:
        html.write_text(session.client.get_report_page(request), encoding="utf-8")
        session.output.note(f"the page is in {html}")
