"""`lethe summary`: how many requests there were, what became of them, and how long the answers took."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.reports import summary_table


@talks_to_service
def summary(
    session: Session,
    *,
    from_: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="Only those received on that day or later.")
    ] = None,
    to: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Only those received before that day.")
    ] = None,
    regulation: Annotated[str | None, typer.Option(help="Only those under this clock.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Only those that affect this line.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print a table for spreadsheets.")] = False,
) -> None:
    """Count the requests of a period, and the days until they were answered. Days begin at midnight UTC."""
    asked = {
        "received_after": None if from_ is None else from_.replace(tzinfo=UTC),
        "received_before": None if to is None else to.replace(tzinfo=UTC),
    }
    if csv:
        text = session.client.export_summary(**asked, regulation=regulation, adapter=adapter)
        typer.echo(text, nl=False)
        return
    found = session.client.get_summary(**asked, regulation=regulation, adapter=adapter)
    session.output.one(found, summary_table(found))
