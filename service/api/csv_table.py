"""Tables for spreadsheets: CSV (RFC 4180) in UTF-8, sent while it is written."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from fastapi.responses import StreamingResponse

from service.api.problems import Responses

MEDIA_TYPE = "text/csv"
# What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def answers_csv(description: str) -> Responses:
    """The `responses` of a route that also answers with a table."""
    return {200: {"description": description, "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}}


def respond(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> StreamingResponse:
    """A table as a file to download. The rows are drawn as they are sent."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Vary": "Accept"}
    return StreamingResponse(_lines(header, rows), media_type=MEDIA_TYPE, headers=headers)


def _lines(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield _line(header)
    for row in rows:
        yield _line([cell(value) for value in row])


def _line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def cell(value: object) -> str:
    """A value as text; None is empty. An apostrophe goes before what a spreadsheet would take for a formula."""
    text = "" if value is None else str(value)
    # Full-width forms of the signs count too.
    return f"'{text}" if unicodedata.normalize("NFKC", text[:1]) in _FORMULA else text
