"""`lethe status`: what is going on, or one request or run."""

from itertools import islice
from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.requests import requests_table, run_table
from service.cli.waiting import wait_for_request, wait_for_run
from service.domain.states import RequestState, RunState

TROUBLE = (RequestState.needs_attention, RequestState.failed, RequestState.rejected, RequestState.canceled)


@talks_to_service
def status(
    session: Session,
    id_: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="A request (req_…) or run (run_…); without it, the newest requests."),
    ] = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until it is answered.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many requests to list.")] = 20,
) -> None:
    """Show requests, or one request or run."""
    if id_ is None:
        requests = list(islice(session.client.list_requests(limit=limit), limit))
        session.output.many(requests, requests_table(requests))
    elif id_.startswith("run_"):
        run = wait_for_run(session, id_, label=id_) if wait else session.client.get_run(id_)
        session.output.one(run, run_table(run))
        session.end(is_success=run.state not in (RunState.failed, RunState.canceled))
    else:
        request = wait_for_request(session, id_) if wait else session.client.get_request(id_)
        session.output.one(request, requests_table([request]))
        session.end(is_success=request.state not in TROUBLE)
