"""Which of two representations a caller prefers (RFC 9110, section 12.5.1)."""

from enum import StrEnum


class Format(StrEnum):
    json = "json"
    html = "html"


_MEDIA_TYPES = {Format.json: ("application", "json"), Format.html: ("text", "html")}


def preferred(accept: str | None) -> Format:
    """HTML for who likes it better than JSON, as browsers do; JSON for everybody else."""
    if accept is None:
        return Format.json
    ranges = [_range(part) for part in accept.split(",")]
    html, json = (_quality(ranges, *_MEDIA_TYPES[kind]) for kind in (Format.html, Format.json))
    return Format.html if html > json else Format.json


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
