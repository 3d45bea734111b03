"""News for pages that are open: the events feed as server-sent events, for whoever is signed in.

An event carries its type only. The page then asks for itself again, so that what is shown was rendered, and allowed,
like any other page.
"""

from collections.abc import AsyncIterator
from typing import Annotated

import anyio
from fastapi import APIRouter, Header, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from service.api.desk.route import DeskRoute
from service.api.desk.visit import Visit, permitted, session_token
from service.api.routes.events import RECONNECT_MS, Feed, position, streamed
from service.api.schemas.feed import EventRead
from service.flows.desk_sessions import holder_of

router = APIRouter(prefix="/desk", route_class=DeskRoute, include_in_schema=False)


@router.get("/events")
async def follow_events(
    request: Request,
    visit: Annotated[Visit, permitted("list_events")],
    about: Annotated[str | None, Query(max_length=48)] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventSourceResponse:
    """`about`: only what concerns this request, or a run that serves it."""
    feed = Feed(visit.context, visit.actor, adapter=None, request=None, run=None)
    after = position(last_event_id, None)
    if after is None:
        after = await run_in_threadpool(feed.newest)
    context, stopping = visit.context, anyio.Event()
    token = session_token(request, context.settings) or ""

    def is_signed_in() -> bool:
        return holder_of(context.store, context.vault, token, is_use=False) is not None

    return streamed(feed, _news(feed, feed.follow(after, stopping, is_signed_in), about), stopping)


async def _news(feed: Feed, events: AsyncIterator[EventRead], about: str | None) -> AsyncIterator[ServerSentEvent]:
    async for event in events:
        if about is None or event.request == about or await run_in_threadpool(_serves, feed, event.run, about):
            yield ServerSentEvent(data=event.type, event="news", id=str(event.id), retry=RECONNECT_MS)


def _serves(feed: Feed, run_id: str | None, request_id: str) -> bool:
    """Whether a run serves a request."""
    if run_id is None:
        return False
    with feed.context.store.read() as unit:
        return any(target.request_id == request_id for target in unit.targets.of_run(run_id))
