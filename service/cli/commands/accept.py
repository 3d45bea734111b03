"""`lethe accept`: let an outcome stand that falls short."""

from typing import Annotated

import typer

from service.cli.commands import unlearning
from service.cli.session import Session, talks_to_service
from service.cli.tables.requests import requests_table
from service.cli.waiting import wait_for_request


@talks_to_service
def accept(
    session: Session,
    request: Annotated[str, typer.Argument(help="The request that needs attention.")],
    *,
    reason: Annotated[str, typer.Option(help="Why it may stand. The certificates quote it: name nobody.")],
    wait: unlearning.Wait = True,
) -> None:
    """Let an outcome stand that failed its verification, or claims less than the policy asks for."""
    accepted = session.client.accept_request(request, reason)
    if wait:
        accepted = wait_for_request(session, accepted.id)
    session.output.one(accepted, requests_table([accepted]))
    session.end(is_success=not wait or accepted.state in unlearning.ANSWERED)
