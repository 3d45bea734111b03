"""What the commands that file unlearning requests share; `lethe submit` files one as it is written."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.requests import plan_table, requests_table, waiting
from service.cli.waiting import wait_for_request
from service.client import unlearning
from service.client.answers.requests import Request
from service.domain.adapters import Strategy
from service.domain.errors import InvalidInput
from service.domain.operations import Operation
from service.domain.states import RequestState

PlanOnly = Annotated[bool, typer.Option("--plan", help="Show what would happen, and change nothing.")]
Wait = Annotated[bool, typer.Option(help="Wait until the request is answered.")]
StrategyOption = Annotated[Strategy | None, typer.Option("--strategy", help="How to answer; default: the policy's.")]
Reference = Annotated[str | None, typer.Option(help="Your own reference of the request; must be unique.")]
Regulation = Annotated[str | None, typer.Option(help="The legal clock: gdpr, uk_gdpr, ccpa, …")]
Urgent = Annotated[bool, typer.Option("--urgent", help="Wait neither for others nor for quiet hours to end.")]

# What a client may call an answer: the adapter is published, even if its exact form is still to come.
ANSWERED = (RequestState.succeeded, RequestState.awaiting_rebuild)
# What moves on only when somebody decides.
WAITS_FOR_PEOPLE = (RequestState.awaiting_approval, RequestState.needs_attention)


def run(
    session: Session,
    operations: Sequence[Operation],
    *,
    adapters: Sequence[str],
    plan: bool,
    wait: bool,
    strategy: Strategy | None,
    reference: str | None,
    regulation: str | None,
    urgent: bool,
) -> None:
    """Plan or file a request of these operations, and print what comes of it."""
    body = unlearning(
        *operations,
        adapters=adapters,
        strategy=strategy,
        client_reference=reference,
        regulation=regulation,
        urgent=urgent,
    )
    run_body(session, body, plan=plan, wait=wait)


def run_body(session: Session, body: Mapping[str, Any], *, plan: bool, wait: bool) -> None:
    """Plan or file a request, and print what comes of it."""
    if plan:
        answer = session.client.create_plan(body)
        session.output.one(answer, plan_table(answer))
        return
    request: Request = session.client.create_request(body)
    session.output.note(f"accepted: {request.id}")
    for target in request.targets:
        if target.not_before is not None:
            session.output.note(f"{target.adapter}: {waiting(target.waiting_for, target.not_before)}")
    if wait:
        request = wait_for_request(session, request.id)
    session.output.one(request, requests_table([request]))
    session.end(is_success=not wait or request.state in ANSWERED)


@talks_to_service
def submit(
    session: Session,
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, allow_dash=True, help="The body as JSON; - for stdin."),
    ],
    *,
    plan: PlanOnly = False,
    wait: Wait = True,
) -> None:
    """File an unlearning request of any operations, as the API takes it."""
    try:
        body = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"The request is not valid JSON: {error}.", field=str(file)) from error
    run_body(session, body, plan=plan, wait=wait)
