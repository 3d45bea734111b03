"""Server-sent events, the client's side (WHATWG HTML, section 9.2).

A dropped connection is not the end of a feed: `follow` connects again with `Last-Event-ID`, and the
service goes on with the next event.
"""

import codecs
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import httpx

NO_CONTENT = 204
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: the feed's position after it, its type, its data."""

    id: str
    type: str
    data: str


def follow(
    connect: Callable[[str | None], AbstractContextManager[httpx.Response]],
    *,
    last_event_id: str | None,
    patience_s: float = 60,
) -> Iterator[ServerEvent]:
    """Events after `last_event_id` (None: where the service starts), across any number of connections.

    `connect` opens the feed after an event id. Ends only when the service answers 204.

    Raises:
        httpx.TransportError: the service could not be reached for `patience_s` seconds.
    """
    pause, lost_at = FIRST_PAUSE_S, None
    while True:
        try:
            with connect(last_event_id) as response:
                if response.status_code == NO_CONTENT:
                    return
                pause, lost_at = FIRST_PAUSE_S, None
                for event in decode(response.iter_bytes()):
                    last_event_id = event.id or last_event_id
                    yield event
        except httpx.TransportError:
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > patience_s:
                raise
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def decode(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events in a byte stream. One that the end of the stream cuts off is dropped, as the standard says."""
    event_id, event_type, data = "", "", list[str]()
    for line in _lines(chunks):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield ServerEvent(event_id, event_type or "message", "\n".join(data))
            event_type, data = "", []
        elif name == "data":
            data.append(value)
        elif name == "event":
            event_type = value
        elif name == "id" and "\0" not in value:
            event_id = value


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines ended by CR, LF or CRLF, and by nothing else: U+2028 may stand inside JSON."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pending = ""
    for chunk in chunks:
        pending += decoder.decode(chunk)
        # A CR at the end may be the first half of a CRLF.
        held = "\r" if pending.endswith("\r") else ""
        *lines, pending = pending.removesuffix(held).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        pending += held
        yield from lines
