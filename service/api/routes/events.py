"""The events feed: pages of JSON, or a stream of server-sent events."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, Header, Query
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from service.api.actor import Actor
from service.api.auth import Caller, InStanding, Standing
from service.api.context import Context, InContext
from service.api.errors import Malformed
from service.api.limits import Limits
from service.api.paging import MAX_LIMIT, InPages
from service.api.problems import Responses, problems
from service.api.schemas.feed import EventPage, EventRead
from service.api.views.feed import event_read
from service.api.visibility import view_of

router = APIRouter(prefix="/v1/events", tags=["events"])

STREAM = "text/event-stream"
HEARTBEAT_S = 15
RECONNECT_MS = 1000
# Streams end at a message's end when the server stops; one whose client does not read is cut off after this.
STOP_GRACE_S = 2
_BATCH = 200
_STREAM: Responses = {
    200: {
        "description": "A page, or with `Accept: text/event-stream` a stream that goes on.",
        "content": {STREAM: {"schema": {"type": "string"}}},
    }
}


@dataclass(frozen=True, slots=True)
class Feed:
    """The events that one caller asks for."""

    context: Context
    actor: Actor
    adapter: str | None
    request: str | None
    run: str | None

    @property
    def filters(self) -> dict[str, object]:
        return {"adapter": self.adapter, "request": self.request, "run": self.run}

    def read(self, after: int, limit: int) -> list[EventRead]:
        """Events with greater numbers, oldest first."""
        with self.context.store.read() as unit:
            rows = unit.feed.events(
                after,
                limit=limit,
                adapter=self.adapter,
                request_id=self.request,
                run_id=self.run,
                view=view_of(self.actor),
            )
            return [event_read(row) for row in rows]

    def newest(self) -> int:
        with self.context.store.read() as unit:
            return unit.feed.last_seq()

    async def follow(self, after: int, stopping: anyio.Event, is_welcome: Standing) -> AsyncIterator[EventRead]:
        """Everything after an event, then whatever comes until the server stops or the caller may not know it."""
        while not stopping.is_set() and await run_in_threadpool(is_welcome):
            newest = await run_in_threadpool(self.newest)
            events = await run_in_threadpool(self.read, after, _BATCH)
            for event in events:
                yield event
            if events:
                after = events[-1].id
            else:
                after = max(after, newest)
                await self._news(after, stopping)

    async def _news(self, after: int, stopping: anyio.Event) -> None:
        """Wait until the feed has grown, or the server stops."""

        async def stop() -> None:
            await stopping.wait()
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(stop)
            await self.context.pulse.beyond(after)
            group.cancel_scope.cancel()


class CappedStream(EventSourceResponse):
    """A stream that counts among those its caller holds open, from its first byte until it ends."""

    def __init__(self, actor_id: str, limits: Limits, content: AsyncIterator[ServerSentEvent], **options: Any) -> None:
        super().__init__(content, **options)
        self._actor_id, self._limits = actor_id, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._limits.stream(self._actor_id):
            await super().__call__(scope, receive, send)


@router.get("", response_model=EventPage, responses={**_STREAM, **problems(400)})
async def list_events(
    context: InContext,
    actor: Caller,
    paging: InPages,
    is_welcome: InStanding,
    adapter: Annotated[str | None, Query(max_length=63, description="Only events of this line.")] = None,
    request: Annotated[str | None, Query(max_length=48, description="Only events of this request.")] = None,
    run: Annotated[str | None, Query(max_length=48, description="Only events of this run.")] = None,
    start: Annotated[
        Literal["beginning", "now"], Query(description="Where to start, without a cursor or `Last-Event-ID`.")
    ] = "beginning",
    accept: Annotated[str, Header()] = "*/*",
    last_event_id: Annotated[
        str | None,
        Header(
            description="The last event you have; a stream goes on there.",
            json_schema_extra={"pattern": "^[0-9]{1,18}$"},
        ),
    ] = None,
) -> EventPage | EventSourceResponse:
    """Read the feed of everything that happens, in order. Ids and states only."""
    feed = Feed(context, actor, adapter, request, run)
    after = position(last_event_id, paging.position("events", feed.filters))
    if after is None:
        after = await run_in_threadpool(feed.newest) if start == "now" else 0
    if STREAM in accept:
        stopping = anyio.Event()
        return streamed(feed, _messages(after, feed.follow(after, stopping, is_welcome)), stopping)
    items = await run_in_threadpool(feed.read, after, min(paging.limit, MAX_LIMIT))
    last = items[-1].id if items else after
    return EventPage(items=items, next_cursor=str(paging.after(str(last), "events", feed.filters)))


def streamed(feed: Feed, messages: AsyncIterator[ServerSentEvent], stopping: anyio.Event) -> EventSourceResponse:
    """A stream of a caller's that ends when the server stops, of which `stopping` tells the messages' source."""
    return CappedStream(
        feed.actor.id,
        feed.context.limits,
        messages,
        ping=HEARTBEAT_S,
        sep="\n",
        shutdown_event=stopping,
        shutdown_grace_period=STOP_GRACE_S,
    )


def bookmark(after: int) -> ServerSentEvent:
    """An id without an event: who is cut off before anything happened goes on there (WHATWG HTML, 9.2.6)."""
    return ServerSentEvent(id=str(after), retry=RECONNECT_MS)


async def _messages(after: int, events: AsyncIterator[EventRead]) -> AsyncIterator[ServerSentEvent]:
    yield bookmark(after)
    async for event in events:
        yield ServerSentEvent(data=event.model_dump_json(), event=event.type, id=str(event.id), retry=RECONNECT_MS)


def position(last_event_id: str | None, cursor: str | None) -> int | None:
    """Raises Malformed."""
    given = cursor if last_event_id is None else last_event_id
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise Malformed(
            "The last event id is no event of this feed.",
            field="Last-Event-ID",
            fix="Send the id of the last event you have, or none.",
            code="invalid-event-id",
        )
    return int(given)
