"""Wait for a request or a run, and show on the terminal how far it is.

The events feed says when to look; what counts is always read from the request or run itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from service.cli.models import Event, Request, Run
from service.cli.session import Session
from service.domain.states import RequestState

# A request in these states moves on only when somebody decides, or after days.
RESTING = (RequestState.awaiting_approval, RequestState.awaiting_rebuild, RequestState.needs_attention)

V = TypeVar("V", Request, Run)


def wait_for_request(session: Session, request_id: str) -> Request:
    """The request once it is answered, or waits for people or for a rebuild. Raises Problem."""

    def is_over(request: Request) -> bool:
        return request.is_terminal or request.on_hold or request.state in RESTING

    def concerns(event: Event, request: Request) -> bool:
        if event.type == "run.started":  # which run serves the request is known only from now on
            return event.adapter in [target.adapter for target in request.targets]
        return event.request == request_id or event.run in [target.run for target in request.targets]

    return _follow(session, lambda: session.client.request(request_id), is_over, concerns, label=request_id)


def wait_for_run(session: Session, run_id: str, *, label: str) -> Run:
    """The run once it has ended. Raises Problem."""
    return _follow(
        session,
        lambda: session.client.run(run_id),
        lambda run: run.is_terminal,
        lambda event, run: event.run == run_id,
        label=label,
    )


def _follow(
    session: Session,
    read: Callable[[], V],
    is_over: Callable[[V], bool],
    concerns: Callable[[Event, V], bool],
    *,
    label: str,
) -> V:
    position = session.client.feed_end()
    view = read()
    if is_over(view):
        return view
    with _bar(session, label) as show:
        for event in session.client.events(position):
            if not concerns(event, view):
                continue
            if event.type == "run.progress":
                show(event)
                continue
            view = read()
            if is_over(view):
                return view
    raise AssertionError("the feed has no end")


@contextmanager
def _bar(session: Session, label: str) -> Iterator[Callable[[Event], None]]:
    """A progress bar on standard error; elsewhere a line a stage; nothing where the output is for machines."""
    output = session.output
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[stage]}"),
        TimeElapsedColumn(),
    )
    is_shown = output.errors.is_terminal and not output.as_json
    with Progress(*columns, console=output.errors, transient=True, disable=not is_shown) as progress:
        task = progress.add_task(label, total=1.0, stage="queued")
        stage = ""

        def show(event: Event) -> None:
            nonlocal stage
            if event.data["stage"] != stage:
                stage = event.data["stage"]
                if not is_shown:
                    output.note(f"{label}: {stage}")
            progress.update(task, stage=stage, completed=event.data["progress"])

        yield show
