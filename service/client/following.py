"""Follow what happens: the feed as it grows, and requests, runs and versions until they have got somewhere.

The events say when to look; what counts is always read from the request or run itself. So the key needs the scope
`events:read` besides.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

from service.client.answers.adapters import Version
from service.client.answers.operations import Event
from service.client.answers.requests import Request, Run
from service.client.call import Call, Parameter
from service.client.calls.operations import list_events
from service.client.calls.requests import get_request, get_run
from service.client.calls.versions import get_version
from service.client.sending import send
from service.client.sse import Feed
from service.client.steps import Item, Items, Steps
from service.domain.states import RequestState

EVENTS = "/v1/events"
# A request in these states moves on only when somebody decides, or after days.
RESTING = (RequestState.awaiting_approval, RequestState.awaiting_rebuild, RequestState.needs_attention)

Show: TypeAlias = Callable[[str, float], None]
"""Told of progress: the stage, and the share of it that is done."""

V = TypeVar("V", Request, Run)


def follow_events(
    *,
    cursor: str | None = None,
    adapter: str | None = None,
    request: str | None = None,
    run: str | None = None,
    last_event_id: str | None = None,
) -> Items[Event]:
    """Everything that happens after a cursor or event, live and without end; from the beginning without either."""
    params = {"cursor": cursor, "adapter": adapter, "request": request, "run": run}
    feed = Feed(EVENTS, params, last_event_id=last_event_id)
    while (event := (yield from feed.next())) is not None:
        yield Item(Event.model_validate_json(event.data))


def wait_for_request(request: str | Request, show: Show | None = None) -> Steps[Request]:
    """The request once it is answered, or waits for people or for a rebuild. `request`: it or its id."""
    request_id = request if isinstance(request, str) else request.id

    def is_over(now: Request) -> bool:
        return now.is_terminal or now.on_hold or now.state in RESTING

    def concerns(event: Event, now: Request) -> bool:
        if event.type == "run.started":  # which run serves the request is known only from now on
            return event.adapter in [target.adapter for target in now.targets]
        return event.request == request_id or event.run in [target.run for target in now.targets]

    return _until(is_over, get_request(request_id), concerns, show)


def wait_for_run(run: str | Run, show: Show | None = None) -> Steps[Run]:
    """The run once it has ended. `run`: it or its id."""
    run_id = run if isinstance(run, str) else run.id
    return _until(lambda now: now.is_terminal, get_run(run_id), lambda event, _: event.run == run_id, show)


def wait_for_version(name: str, version: str, show: Show | None = None) -> Steps[Version]:
    """The version once the run that makes it has ended: `ready` or `rejected`."""
    found = yield from send(get_version(name, version))
    if found.run is not None:
        yield from wait_for_run(found.run, show)
    return (yield from send(get_version(name, found.version)))


def _until(
    is_over: Callable[[V], bool], read: Call[V], concerns: Callable[[Event, V], bool], show: Show | None
) -> Steps[V]:
    # The place in the feed is taken before the first look, so that nothing in between is missed.
    page = yield from send(list_events(start="now", limit=1))
    now = yield from send(read)
    place: Mapping[str, Parameter] = {"cursor": page.next_cursor}
    feed = Feed(EVENTS, place)
    while not is_over(now):
        sent = yield from feed.next()
        if sent is None:
            raise AssertionError("the feed has no end")
        event = Event.model_validate_json(sent.data)
        if not concerns(event, now):
            continue
        if event.type != "run.progress":
            now = yield from send(read)
        elif show is not None:
            show(event.data["stage"], event.data["progress"])
    return now
