"""Conditional and partial downloads of bytes that never change (RFC 9110, sections 13 and 14).

The entity tag is the content's digest, hence strong, so `If-Range` and resumed downloads are safe.
Answers may be kept but have to be checked before use: a version can be withdrawn.
"""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from fastapi.responses import Response, StreamingResponse

from service.api.errors import PreconditionFailed, RangeNotSatisfiable
from service.domain.errors import Gone, NotFound

_ONE_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Representation:
    """Bytes to be downloaded. `read(start, stop)` yields them; `sha256` is theirs, in hex, where it is known."""

    tag: str
    size: int
    media_type: str
    filename: str
    read: Callable[[int, int], Iterator[bytes]]
    sha256: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        return f'"{self.tag}"'


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditional headers of a call."""

    method: str
    if_match: str | None
    if_none_match: str | None
    if_range: str | None
    range: str | None


def respond(item: Representation, conditions: Conditions) -> Response:
    """200, 206 or 304.

    Raises:
        PreconditionFailed: `If-Match` names other content.
        RangeNotSatisfiable: the range lies outside.
        Gone: the bytes were deleted since the version was looked up.
    """
    if conditions.if_match is not None and not _matches(conditions.if_match, item.etag, weak=False):
        raise PreconditionFailed("The content is not the one named by If-Match.", field="If-Match")
    headers = _headers(item)
    if conditions.if_none_match is not None and _matches(conditions.if_none_match, item.etag, weak=True):
        return Response(status_code=304, headers=headers)
    wanted = _range(conditions, item)
    start, stop = wanted or (0, item.size)
    headers["Content-Length"] = str(stop - start)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{item.size}"
    body = iter(()) if conditions.method == "HEAD" else _opened(item.read(start, stop))
    return StreamingResponse(body, 206 if wanted else 200, headers, item.media_type)


def _headers(item: Representation) -> dict[str, str]:
    headers = {
        **item.headers,
        "ETag": item.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{item.filename}"',
    }
    if item.sha256 is not None:
        # RFC 9530: the digest of the whole representation, whatever part is sent.
        headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(item.sha256)).decode()}:"
    return headers


def _matches(header: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of entity tags holds ours. Strong comparison knows no `W/` (RFC 9110, 8.8.3.2)."""
    tags = [tag.strip() for tag in header.split(",")]
    return "*" in tags or any((tag.removeprefix("W/") if weak else tag) == etag for tag in tags)


def _range(conditions: Conditions, item: Representation) -> tuple[int, int] | None:
    """The one range asked for; None for all. Several ranges, other units and nonsense mean all, as they may."""
    asked = None if conditions.range is None else _ONE_RANGE.fullmatch(conditions.range)
    if asked is None or asked.groups() == ("", "") or conditions.method not in ("GET", "HEAD"):
        return None
    if conditions.if_range is not None and conditions.if_range.strip() != item.etag:
        return None
    first, last = asked.groups()
    if first == "":
        start, stop = max(0, item.size - int(last)), item.size
    else:
        start, stop = int(first), min(int(last) + 1, item.size) if last else item.size
        if last and int(last) < int(first):
            return None
    if start >= item.size or start >= stop:
        raise RangeNotSatisfiable(item.size)
    return start, stop


def _opened(chunks: Iterator[bytes]) -> Iterable[bytes]:
    """The chunks, with the first one read: bytes that are gone must be known before the status is sent."""
    try:
        first = next(chunks, b"")
    except NotFound:
        raise Gone("The version was withdrawn.", code="version-withdrawn") from None
    return chain((first,), chunks)
