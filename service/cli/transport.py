"""HTTP to the service, repeated until it is answered.

A POST carries an `Idempotency-Key`, the same one on every attempt, so a call whose answer was lost is
not done twice. What the service refuses is raised as a `Problem`, never repeated.
"""

import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias

import httpx

from service.cli.problems import Problem, unreachable

ATTEMPTS = 5
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 8.0
RETRIED = frozenset({429, 502, 503, 504})
# The feed sends a comment every 15 s: silence for three times that is a dead connection.
FEED_SILENCE_S = 45.0

Json: TypeAlias = Any
Parameters: TypeAlias = Mapping[str, str | int | None]


class Transport:
    """Calls below one base URL with one API key."""

    def __init__(self, url: str, key: str | None, *, timeout_s: float = 60) -> None:
        headers = {"Accept": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, params: Parameters | None = None) -> Json:
        """The JSON at `path`. Raises Problem."""
        return self._call("GET", path, params=params).json()

    def text(self, path: str, accept: str, params: Parameters | None = None) -> str:
        """What is at `path`, in the media type asked for. Raises Problem."""

        def send(headers: dict[str, str]) -> httpx.Response:
            return self._http.get(path, params=_present(params), headers=headers | {"Accept": accept})

        return self._until_answered("GET", send).text

    def send(self, method: str, path: str, body: Json) -> Json:
        """Send JSON; the JSON of the answer, None if it has no body. Raises Problem."""
        answer = self._call(method, path, body=body)
        return answer.json() if answer.content else None

    def delete(self, path: str, params: Parameters | None = None) -> None:
        """Raises Problem."""
        self._call("DELETE", path, params=params)

    def upload(self, path: str, file: Path, *, content_type: str, params: Parameters | None = None) -> Json:
        """POST a file as the body, streamed from disk. Raises Problem."""

        def send(headers: dict[str, str]) -> httpx.Response:
            with file.open("rb") as content:
                sized = headers | {"Content-Type": content_type, "Content-Length": str(file.stat().st_size)}
                return self._http.post(path, params=_present(params), content=content, headers=sized, timeout=None)

        return self._until_answered("POST", send).json()

    def send_form(self, path: str, fields: Mapping[str, Json], files: Mapping[str, Path]) -> Json:
        """POST JSON fields and files as one form, streamed from disk. Raises Problem."""
        data = {name: json.dumps(value) for name, value in fields.items()}

        def send(headers: dict[str, str]) -> httpx.Response:
            with ExitStack() as stack:
                parts = {name: (file.name, stack.enter_context(file.open("rb"))) for name, file in files.items()}
                return self._http.post(path, data=data, files=parts, headers=headers, timeout=None)

        return self._until_answered("POST", send).json()

    def _call(self, method: str, path: str, *, params: Parameters | None = None, body: Json = None) -> httpx.Response:
        def send(headers: dict[str, str]) -> httpx.Response:
            return self._http.request(method, path, params=_present(params), json=body, headers=headers)

        return self._until_answered(method, send)

    def _until_answered(self, method: str, send: Callable[[dict[str, str]], httpx.Response]) -> httpx.Response:
        """Send, with the same key each time, while the service is away or overloaded.

        Raises:
            Problem: the service refused, or stayed away.
        """
        headers = {"Idempotency-Key": uuid.uuid4().hex} if method == "POST" else {}
        for attempt in range(1, ATTEMPTS + 1):
            pause = min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S) * random.uniform(0.5, 1)
            try:
                response = send(headers)
            except httpx.TransportError as error:
                if attempt == ATTEMPTS:
                    raise unreachable(self.url, error) from error
            else:
                if response.status_code not in RETRIED or attempt == ATTEMPTS:
                    return _accepted(response)
                pause = max(pause, _retry_after_s(response))
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _stream(
        self, path: str, params: dict[str, str | int], headers: dict[str, str], timeout: httpx.Timeout
    ) -> Iterator[httpx.Response]:
        with self._http.stream("GET", path, params=params, headers=headers, timeout=timeout) as response:
            if response.is_error:
                response.read()
            yield _accepted(response)

    def feed(
        self, path: str, params: Parameters | None, last_event_id: str | None
    ) -> AbstractContextManager[httpx.Response]:
        """An open event stream after `last_event_id`."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        timeout = httpx.Timeout(10, read=FEED_SILENCE_S)
        return self._stream(path, _present(params), headers, timeout)

    def lines(self, path: str, *, accept: str) -> Iterator[str]:
        """The lines of a streamed answer."""
        with self._stream(path, {}, {"Accept": accept}, httpx.Timeout(60)) as response:
            yield from response.iter_lines()

    def download(self, path: str, headers: Mapping[str, str]) -> AbstractContextManager[httpx.Response]:
        """An open download; 304 and 206 are answers too."""
        return self._stream(path, {}, dict(headers), httpx.Timeout(60))


def _present(params: Parameters | None) -> dict[str, str | int]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def _accepted(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise Problem.from_response(response)
    return response


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds of a Retry-After header; 0 without one or with a date."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else 0.0
