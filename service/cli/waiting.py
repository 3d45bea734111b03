"""Wait for a request or a run, and show on the terminal how far it is; nothing where the output is for machines."""

from service.cli.session import Session
from service.client import progress_bar
from service.client.answers.requests import Request, Run


def wait_for_request(session: Session, request_id: str) -> Request:
    """The request once it is answered, or waits for people or for a rebuild. Raises LetheError."""
    if session.output.as_json:
        return session.client.wait_for_request(request_id)
    with progress_bar(request_id, console=session.output.errors) as show:
        return session.client.wait_for_request(request_id, show)


def wait_for_run(session: Session, run_id: str, *, label: str) -> Run:
    """The run once it has ended. Raises LetheError."""
    if session.output.as_json:
        return session.client.wait_for_run(run_id)
    with progress_bar(label, console=session.output.errors) as show:
        return session.client.wait_for_run(run_id, show)
