"""The parser against the standard's own examples and against hostile chunking; the follower against a real server."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import ClassVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cli.sse import ServerEvent, decode, follow

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
    assert list(decode(chunks)) == EVENTS


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
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_follower_misses_and_repeats_nothing_across_connections(feed_url: str) -> None:
    with httpx.Client() as http:

        def connect(last: str | None) -> AbstractContextManager[httpx.Response]:
            return http.stream("GET", feed_url, headers={} if last is None else {"Last-Event-ID": last})

        seen = [event.data for event in follow(connect, last_event_id=None)]
    assert seen == ["1", "2", "3", "4", "5"]
    assert _Feed.asked_after == [None, "2", "4", "5"]


def test_a_service_that_stays_away_is_an_error() -> None:
    with httpx.Client() as http:

        def connect(last: str | None) -> AbstractContextManager[httpx.Response]:
            return http.stream("GET", "http://127.0.0.1:9/")

        with pytest.raises(httpx.ConnectError):
            list(follow(connect, last_event_id=None, patience_s=0.3))
