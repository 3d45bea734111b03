"""Which of two representations a caller prefers (RFC 9110, section 12.5.1)."""

from enum import StrEnum
from typing import Annotated, TypeAlias

from fastapi import Depends, Header, Query

MediaType: TypeAlias = tuple[str, str]

JSON: MediaType = ("application", "json")
HTML: MediaType = ("text", "html")
CSV: MediaType = ("text", "csv")


class ReportFormat(StrEnum):
    json = "json"
    html = "html"


async def _wants_html(
    accept: Annotated[str | None, Header(description="`text/html` for a page that people read.")] = None,
    format_: Annotated[ReportFormat | None, Query(alias="format", description="Overrides `Accept`.")] = None,
) -> bool:
    return prefers(accept, HTML) if format_ is None else format_ is ReportFormat.html


async def _wants_csv(
    accept: Annotated[str | None, Header(description="`text/csv` for a table of all that match.")] = None,
) -> bool:
    return prefers(accept, CSV)


AsHtml = Annotated[bool, Depends(_wants_html)]
AsCsv = Annotated[bool, Depends(_wants_csv)]


def prefers(accept: str | None, other: MediaType) -> bool:
    """Whether a caller likes the other type better than JSON, as browsers do HTML; JSON is for everybody else."""
    if accept is None:
        return False
    ranges = [_range(part) for part in accept.split(",")]
    return _quality(ranges, *other) > _quality(ranges, *JSON)


def _range(part: str) -> tuple[str, str, float]:
    """A media range and its quality; what cannot be read has quality 0."""
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    kind, _, subtype = media_type.partition("/")
    quality = next((value for name, _, value in (p.partition("=") for p in parameters) if name.strip() == "q"), "1")
    try:
        return kind, subtype, min(1.0, max(0.0, float(quality)))
    except ValueError:
        return kind, subtype, 0.0


def _quality(ranges: list[tuple[str, str, float]], kind: str, subtype: str) -> float:
    """The quality of the most specific range that holds the media type."""
    for wanted in ((kind, subtype), (kind, "*"), ("*", "*")):
        found = [quality for *names, quality in ranges if tuple(names) == wanted]
        if found:
            return max(found)
    return 0.0
