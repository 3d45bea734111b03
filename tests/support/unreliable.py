"""A real HTTP server that fails on purpose."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG_UP = 0
KEY = {"kid": "k", "purpose": "statements", "created_at": "2026-01-01T00:00:00Z"}
PROBLEM = {"title": "No", "detail": "Because.", "code": "no", "fix": "Yes.", "lowest_allowed": "v3"}


@dataclass(frozen=True)
class Reply:
    """`status` 0: read the request, and hang up without an answer."""

    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)


class Unreliable(ThreadingHTTPServer):
    """Answers with the given replies in turn; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: list[Reply] = []
        self.seen: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def will(self, *statuses: int, **headers: str) -> None:
        """Success is answered with what a rotated signing key looks like, failure with a problem document."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for status in statuses:
            self.replies.append(Reply(status, PROBLEM if status >= 400 else KEY, named if status >= 400 else {}))


class _Handler(BaseHTTPRequestHandler):
    server: Unreliable

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append({**self.headers, "method": self.command, "path": self.path, "body": body})
        reply = self.server.replies.pop(0)
        if reply.status == HANG_UP:
            self.close_connection = True
            return
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        kind = "application/problem+json" if reply.status >= 400 else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815 - http.server looks for these names

    def log_message(self, format: str, *args: object) -> None:
        """Be silent."""


@contextmanager
def unreliable() -> Iterator[Unreliable]:
    server = Unreliable()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
