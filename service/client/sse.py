"""Server-sent events, the client's side (WHATWG HTML, section 9.2).

A dropped connection is not the end of a feed: it is opened again with `Last-Event-ID`, and the service goes on with
the next event.
"""

import codecs
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import httpx

from service.client.call import Call, Parameter, nothing
from service.client.problems import UNAVAILABLE, refusal, unreachable
from service.client.steps import Open, Pause, Read, Steps

NO_CONTENT = 204
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
# The service sends a comment every 15 s: silence for three times that is a dead connection.
SILENCE_S = httpx.Timeout(10, read=45)
HEADERS = {"Accept": "text/event-stream", "Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: the feed's position after it, its type, its data."""

    id: str
    type: str
    data: str


class Feed:
    """A stream of events, across any number of connections.

    Args:
        last_event_id: start after it; None: where the service starts.
        patience_s: how long the service may be away.
    """

    def __init__(
        self, path: str, params: Mapping[str, Parameter], *, last_event_id: str | None = None, patience_s: float = 60
    ) -> None:
        self._call = Call("GET", path, nothing, params=params, headers=HEADERS, timeout=SILENCE_S)
        self._last_event_id = last_event_id
        self._patience_s = patience_s
        self._pending: deque[ServerEvent] = deque()
        self._decoder: EventDecoder | None = None
        self._pause_s = FIRST_PAUSE_S
        self._lost_at: float | None = None

    def next(self) -> Steps[ServerEvent | None]:
        """The next event; None if the service has ended the feed (204).

        Raises:
            LetheError: the service refused, or stayed away for too long.
        """
        while not self._pending:
            try:
                if self._decoder is None and not (yield from self._connect()):
                    return None
                chunk: bytes | None = yield Read()
            except httpx.TransportError as error:
                if self._is_given_up():
                    raise unreachable(error) from error
                chunk = None
            if chunk is None:
                yield from self._lose()
            elif self._decoder is not None:
                self._pause_s, self._lost_at = FIRST_PAUSE_S, None
                self._pending.extend(self._decoder.feed(chunk))
                if not self._pending:
                    self._last_event_id = self._decoder.last_event_id or self._last_event_id
        event = self._pending.popleft()
        self._last_event_id = event.id or self._last_event_id
        return event

    def _connect(self) -> Steps[bool]:
        """Whether there is a feed to read."""
        resumed = {} if self._last_event_id is None else {"Last-Event-ID": self._last_event_id}
        while True:
            response: httpx.Response = yield Open(replace(self._call, headers={**HEADERS, **resumed}))
            if not response.is_error:
                break
            if response.status_code not in UNAVAILABLE or self._is_given_up():
                raise refusal(response)
            yield from self._lose()
        if response.status_code == NO_CONTENT:
            return False
        self._decoder = EventDecoder()
        return True

    def _lose(self) -> Steps[None]:
        """The connection is gone; the next one is not tried at once."""
        self._decoder = None
        yield Pause(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _is_given_up(self) -> bool:
        self._lost_at = self._lost_at or time.monotonic()
        return time.monotonic() - self._lost_at > self._patience_s


class EventDecoder:
    """Makes events of the bytes of one connection. One that the end cuts off is dropped, as the standard says.

    `last_event_id`: where to go on; the service may name a place without an event.
    """

    def __init__(self) -> None:
        self.last_event_id = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._id, self._type = "", ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """The events that end in this chunk."""
        for line in self._lines(chunk):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                self.last_event_id = self._id
                if self._data:
                    yield ServerEvent(self._id, self._type or "message", "\n".join(self._data))
                self._type, self._data = "", []
            elif name == "data":
                self._data.append(value)
            elif name == "event":
                self._type = value
            elif name == "id" and "\0" not in value:
                self._id = value

    def _lines(self, chunk: bytes) -> list[str]:
        """Lines ended by CR, LF or CRLF, and by nothing else: U+2028 may stand inside JSON."""
        text = self._rest + self._decode(chunk)
        # A CR at the end may be the first half of a CRLF.
        held = "\r" if text.endswith("\r") else ""
        *lines, rest = text.removesuffix(held).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = rest + held
        return lines
