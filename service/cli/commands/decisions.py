"""What people decide about a request: `lethe approve`, `reject`, `cancel`, `hold`, `release`, `extend` and `retry`."""

from datetime import UTC, datetime, time
from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.requests import requests_table
from service.client.answers.requests import Request
from service.domain.clocks import end_of
from service.domain.decisions import RejectionCode

RequestId = Annotated[str, typer.Argument(metavar="REQUEST", help="The request (req_…).")]


@talks_to_service
def approve(session: Session, request: RequestId) -> None:
    """Let a request that waits for approval go on. Whoever created it may not."""
    _show(session, session.client.approve_request(request))


@talks_to_service
def reject(
    session: Session,
    request: RequestId,
    *,
    reason: Annotated[str, typer.Option(help="Why, for the record. The signed refusal tells only the code.")],
    code: Annotated[RejectionCode, typer.Option(help="The ground.")] = RejectionCode.other,
) -> None:
    """Deny a request that waits for approval, for good, with a signed refusal."""
    _show(session, session.client.reject_request(request, reason, reason_code=code))


@talks_to_service
def cancel(session: Session, request: RequestId) -> None:
    """Call a request off, for good, as long as nothing of it is published."""
    _show(session, session.client.cancel_request(request))


@talks_to_service
def hold(
    session: Session,
    request: RequestId,
    *,
    reason: Annotated[str | None, typer.Option(help="Why, for the record.")] = None,
) -> None:
    """Stop work on a request until it is released. Its legal clock goes on."""
    _show(session, session.client.hold_request(request, reason))


@talks_to_service
def release(session: Session, request: RequestId) -> None:
    """Let a held request go on."""
    _show(session, session.client.release_request(request))


@talks_to_service
def extend(
    session: Session,
    request: RequestId,
    *,
    until: Annotated[datetime, typer.Option(help="A moment in UTC; of a day alone, its last second.")],
    reason: Annotated[str, typer.Option(help="Why, for the record. Tell the person who asked, too.")],
) -> None:
    """Move a request's due date, once, before it passes, and no further than the law allows."""
    due_at = end_of(until.date(), UTC) if until.time() == time.min else until.replace(tzinfo=UTC)
    _show(session, session.client.extend_request(request, due_at, reason))


@talks_to_service
def retry(session: Session, request: RequestId) -> None:
    """Try again what needs attention."""
    _show(session, session.client.retry_request(request))


def _show(session: Session, request: Request) -> None:
    session.output.one(request, requests_table([request]))
