"""The one function RQ calls, by its dotted name."""

import logging
import signal

from workers.engine_process import EngineUnavailable
from workers.supervisor import Supervisor

log = logging.getLogger(__name__)

_supervisor: Supervisor | None = None


def serve_with(supervisor: Supervisor) -> None:
    """Set who executes the runs of this process."""
    global _supervisor
    _supervisor = supervisor


def execute(run_id: str) -> None:
    """Execute a run. The id is all that ever travels through Redis, so RQ hears of no error either.

    RQ would keep an error's text there, and a database's errors quote values. Where the database could not be told
    what became of a run, its lease ends and the reconciler decides.
    """
    assert _supervisor is not None, "serve_with() comes first"
    try:
        _supervisor.execute(run_id)
    except EngineUnavailable:
        # Of no use as it is, and who starts it again waits longer each time.
        log.exception("the engine does not start; this worker ends")
        signal.raise_signal(signal.SIGTERM)
    except Exception:
        log.exception("run %s was left as it is", run_id)
