"""The one function RQ calls, by its dotted name."""

from workers.supervisor import Supervisor

_supervisor: Supervisor | None = None


def serve_with(supervisor: Supervisor) -> None:
    """Set who executes the runs of this process."""
    global _supervisor
    _supervisor = supervisor


def execute(run_id: str) -> None:
    """Execute a run. The id is all that ever travels through Redis."""
    assert _supervisor is not None, "serve_with() comes first"
    _supervisor.execute(run_id)
