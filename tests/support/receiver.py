"""A receiver of webhooks as a process of its own: it notes what it gets and answers as the test says.

Standard library only, so that it is there in a moment.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NEWS_S = 60.0


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


class Receiver:
    """The test's side of it. `url` has a path and a query, which must arrive too."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self.url = f"http://127.0.0.1:{port}/hook?from=lethe"

    def answer(
        self, status: int, *, headers: Mapping[str, str] | None = None, wait_s: float = 0, body_bytes: int = 0
    ) -> None:
        """How every request is answered from now on. `wait_s` comes after it was noted, and before the answer."""
        told = {"status": status, "headers": dict(headers or {}), "wait_s": wait_s, "body_bytes": body_bytes}
        draft = self._directory / "answer.draft"
        draft.write_text(json.dumps(told))
        draft.replace(self._directory / "answer.json")

    def received(self) -> Sequence[Received]:
        path = self._directory / "received.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [Received(line["headers"], line["body"].encode()) for line in map(json.loads, lines)]

    def wait_for(self, count: int) -> Sequence[Received]:
        """All requests, once there are so many."""
        deadline = time.monotonic() + NEWS_S
        while len(found := self.received()) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} requests came in"
            time.sleep(0.02)
        return found


@contextmanager
def receiving(directory: Path) -> Iterator[Receiver]:
    """A receiver that answers 204 until it is told otherwise."""
    directory.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen([sys.executable, __file__, str(directory)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        receiver = Receiver(directory, int(process.stdout.readline()))
        receiver.answer(204)
        yield receiver
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _serve(directory: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:
                # The sender died while it sent.
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            with (directory / "received.jsonl").open("a") as file:
                file.write(json.dumps({"headers": {**headers, ":path": self.path}, "body": body.decode()}) + "\n")
            told = json.loads((directory / "answer.json").read_text())
            time.sleep(told["wait_s"])
            self.send_response(told["status"])
            for name, value in told["headers"].items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(told["body_bytes"]))
            self.end_headers()
            self.wfile.write(b"x" * told["body_bytes"])

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)  # noqa: T201 - the test reads it
    server.serve_forever()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
