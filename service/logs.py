"""Logging of every process: an error is told by its type and place, never by its text, which may quote a row."""

import logging
import traceback
from types import TracebackType

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class DiscreetFormatter(logging.Formatter):
    """Leaves out what exceptions say, those of libraries too."""

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - logging calls it so
        """Where the error arose, and where those that it came from did, newest first."""
        told: list[str] = []
        error = ei[1]
        while error is not None:
            told.append("".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\ncaused by\n".join(told)


def configure_logging(level: str, *, process: str) -> None:
    """Log to standard error as the named kind of process."""
    handler = logging.StreamHandler()
    handler.setFormatter(DiscreetFormatter(f"%(asctime)s %(levelname)s {process} %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    # They tell whole URLs and headers, which may hold somebody's token.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
