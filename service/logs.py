"""Logging of every process: one JSON object a line, with the members listed here and no others.

What others write is not trusted to be free of personal data: an error is told by its type and place, never by its
text, which may quote a row, and of other libraries' log lines only the place is told. Our own lines hold ids, counts
and names of types (a test reads every call).
"""

import json
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from service.domain.errors import LetheError

# Whose lines are told as they are. uvicorn puts whole tracebacks into its errors.
_OURS = ("service.", "workers.", "__main__")
_HARMLESS_BELOW_ERROR = ("uvicorn.error",)

logger = logging.getLogger(__name__)


class DiscreetFormatter(logging.Formatter):
    """Leaves out what exceptions and other libraries say. `process`: what kind of process writes."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": _message(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["errors"] = list(_errors(record.exc_info[1]))
        return json.dumps(line, ensure_ascii=False)


def _message(record: logging.LogRecord) -> str:
    is_harmless = record.name in _HARMLESS_BELOW_ERROR and record.levelno < logging.ERROR
    if record.name.startswith(_OURS) or is_harmless:
        return record.getMessage()
    return f"a line of {record.module}:{record.lineno}, which is not told"


def _errors(error: BaseException | None) -> Iterator[dict[str, Any]]:
    """Where the error arose, then where those did that it came from. What our own errors say quotes nobody."""
    while error is not None:
        told: dict[str, Any] = {"type": type(error).__qualname__}
        if isinstance(error, LetheError):
            told |= {"code": error.code, "detail": error.detail, "fix": error.fix}
        frames = traceback.extract_tb(error.__traceback__)
        yield told | {"where": [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]}
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def configure_logging(level: str, *, process: str) -> None:
    """Log to standard error as the named kind of process, and see to it that nothing else is written there."""
    handler = logging.StreamHandler()
    handler.setFormatter(DiscreetFormatter(process))
    logging.basicConfig(level=level, handlers=[handler])
    # Of every call that they make there would be a line that tells nothing.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _log_uncaught
    sys.unraisablehook = lambda found: _log_uncaught(found.exc_type, found.exc_value, found.exc_traceback)
    threading.excepthook = lambda found: _log_uncaught(found.exc_type, found.exc_value, found.exc_traceback)
    warnings.showwarning = _log_warning


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    logger.critical("an error that nobody caught", exc_info=(kind, error or kind(), trace))


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """pydantic, for one, quotes values in its warnings."""
    logger.warning("%s at %s:%d", category.__name__, filename, lineno)
