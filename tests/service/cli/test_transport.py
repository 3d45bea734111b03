"""Calls are repeated until they are answered, and never done twice. The other end is a real, unreliable server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from service.cli.problems import Problem
from service.cli.transport import ATTEMPTS, Transport

HANG_UP = 0


class Unreliable(ThreadingHTTPServer):
    """Answers with the given statuses in turn, 0 being a dropped connection; keeps what it was asked."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = list(statuses)
        self.seen: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Unreliable

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append({**self.headers, "method": self.command, "path": self.path, "body": body})
        status = self.server.statuses.pop(0)
        if status == HANG_UP:
            self.close_connection = True
            return
        problem = {"title": "No", "detail": "Because.", "code": "no", "fix": "Yes.", "lowest_allowed": "v3"}
        content = json.dumps(problem if status >= 400 else {"fine": True}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/problem+json" if status >= 400 else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST  # noqa: N815 - http.server looks for these names

    def log_message(self, format: str, *args: object) -> None:
        """Be silent."""


@pytest.fixture
def server() -> Iterator[Unreliable]:
    server = Unreliable()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def transport(server: Unreliable, monkeypatch: pytest.MonkeyPatch) -> Iterator[Transport]:
    monkeypatch.setattr("service.cli.transport.FIRST_PAUSE_S", 0.001)
    with Transport(server.url, "lethe_key") as transport:
        yield transport


def test_a_post_is_the_same_call_on_every_attempt(server: Unreliable, transport: Transport) -> None:
    server.statuses = [503, HANG_UP, 429, 200]
    assert transport.send("POST", "/v1/things", {"a": 1}) == {"fine": True}
    assert len(server.seen) == 4
    assert len({seen["Idempotency-Key"] for seen in server.seen}) == 1
    assert {seen["body"] for seen in server.seen} == {b'{"a":1}'}


def test_two_posts_are_two_calls(server: Unreliable, transport: Transport) -> None:
    server.statuses = [200, 200]
    transport.send("POST", "/v1/things", {})
    transport.send("POST", "/v1/things", {})
    assert len({seen["Idempotency-Key"] for seen in server.seen}) == 2


def test_an_upload_is_sent_whole_again(server: Unreliable, transport: Transport, tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_bytes(b"x" * 100_000)
    server.statuses = [HANG_UP, 200]
    transport.upload("/v1/datasets", file, content_type="application/x-ndjson")
    assert [len(seen["body"]) for seen in server.seen] == [100_000, 100_000]


def test_a_refusal_is_raised_at_once_with_all_it_says(server: Unreliable, transport: Transport) -> None:
    server.statuses = [409]
    with pytest.raises(Problem) as refused:
        transport.send("PUT", "/v1/things/1", {})
    problem = refused.value
    assert (problem.status, problem.code, problem.detail, problem.fix) == (409, "no", "Because.", "Yes.")
    assert problem.extra == {"lowest_allowed": "v3"}
    assert len(server.seen) == 1


def test_a_service_that_stays_overloaded_is_given_up(server: Unreliable, transport: Transport) -> None:
    server.statuses = [503] * ATTEMPTS
    with pytest.raises(Problem) as refused:
        transport.get("/v1/things")
    assert refused.value.status == 503


def test_a_service_that_is_not_there_is_a_problem_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.cli.transport.FIRST_PAUSE_S", 0.001)
    with Transport("http://127.0.0.1:9", None) as transport, pytest.raises(Problem) as refused:
        transport.get("/v1/things")
    assert refused.value.status == 0
    assert "lethe up" in (refused.value.fix or "")
