"""The parser against the standard's own examples and against hostile chunking; the follower against a real server."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client import AsyncLethe, Lethe, Unreachable
from service.client.sse import EventDecoder, Feed, ServerEvent
from service.client.steps import Steps
from service.domain.errors import Forbidden
from tests.support.unreliable import Reply, Unreliable

pytestmark = pytest.mark.slow

STREAM = (
    ": a comment keeps the connection open\n\n"
    'id: 7\nevent: run.progress\ndata: {"stage":"solving\u2028"}\n\n'
    "data: YHOO\r\ndata: +2\r\rdata:10\n\n"
    "event: nothing to say\n\n"
    "id: 8\ndata: cut off"
).encode()

EVENTS = [
    ServerEvent("7", "run.progress", '{"stage":"solving\u2028"}'),
    ServerEvent("7", "message", "YHOO\n+2"),
    ServerEvent("7", "message", "10"),
]


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=12))
def test_events_do_not_depend_on_how_the_bytes_arrive(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[start:end] for start, end in pairwise(edges)]
    decoder = EventDecoder()
    assert [event for chunk in chunks for event in decoder.feed(chunk)] == EVENTS


class _Feed(BaseHTTPRequestHandler):
    """Sends two events a connection and hangs up, so that a reader must come back for the rest."""

    asked_after: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        after = self.headers.get("Last-Event-ID")
        self.asked_after.append(after)
        start = int(after or 0)
        self.send_response(200 if start < 5 else 204)
        self.end_headers()
        if start < 5:
            for seq in range(start + 1, min(start + 3, 6)):
                self.wfile.write(f"id: {seq}\ndata: {seq}\n\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        """Be silent."""


@pytest.fixture
def feed_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Feed)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def everything(feed: Feed) -> Steps[list[str]]:
    seen = []
    while (event := (yield from feed.next())) is not None:
        seen.append(event.data)
    return seen


def test_nothing_is_missed_or_repeated_across_connections(feed_url: str) -> None:
    _Feed.asked_after.clear()
    with Lethe(feed_url) as lethe:
        assert lethe.run(everything(Feed("/feed", {}))) == ["1", "2", "3", "4", "5"]
    assert _Feed.asked_after == [None, "2", "4", "5"]


def test_the_same_without_blocking(feed_url: str) -> None:
    _Feed.asked_after.clear()

    async def read() -> list[str]:
        async with AsyncLethe(feed_url) as lethe:
            return await lethe.run(everything(Feed("/feed", {}, last_event_id="1")))

    assert asyncio.run(read()) == ["2", "3", "4", "5"]
    assert _Feed.asked_after == ["1", "3", "5"]


def test_a_place_without_an_event_is_where_it_goes_on(server: Unreliable) -> None:
    server.replies = [Reply(200, b"id: 41\nretry: 1000\n\n"), Reply(200, b"id: 42\ndata: one\n\n"), Reply(204, b"")]
    with Lethe(server.url) as lethe:
        assert lethe.run(everything(Feed("/feed", {"start": "now"}))) == ["one"]
    assert [seen.get("Last-Event-ID") for seen in server.seen] == [None, "41", "42"]


def test_a_service_that_stays_away_is_an_error() -> None:
    with Lethe("http://127.0.0.1:9") as lethe, pytest.raises(Unreachable):
        lethe.run(Feed("/feed", {}, patience_s=0.3).next())


def test_a_service_that_is_away_for_a_moment_is_waited_for(server: Unreliable) -> None:
    server.replies = [
        Reply(503, {"code": "database-unavailable"}),
        Reply(200, b"id: 1\ndata: one\n\n"),
        Reply(502, b"<h1>gateway</h1>", {"Content-Type": "text/html"}),
        Reply(200, b"id: 2\ndata: two\n\n"),
        Reply(204, b""),
    ]
    with Lethe(server.url) as lethe:
        assert lethe.run(everything(Feed("/feed", {"cursor": "c"}))) == ["one", "two"]
    assert [seen.get("Last-Event-ID") for seen in server.seen] == [None, None, "1", "1", "2"]


def test_a_refusal_ends_it(server: Unreliable) -> None:
    server.replies = [Reply(403, {"code": "forbidden", "detail": "The key may not."})]
    with Lethe(server.url) as lethe, pytest.raises(Forbidden):
        lethe.run(everything(Feed("/feed", {})))
