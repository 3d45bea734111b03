"""The fence: a worker's write counts only while it holds the run's newest claim.

A lease alone cannot stop a paused worker that wakes up late; the transaction that publishes must
refuse its old token.
"""

from service.domain.errors import Fenced
from service.domain.states import RunState
from service.store.database import Unit
from service.store.tables import Run


def fenced_run(unit: Unit, run_id: str, fence: int) -> Run:
    """The run, locked.

    Raises:
        Fenced: the run was claimed again, handed back, or finished.
    """
    run = unit.runs.lock(run_id)
    if run is None or run.fence != fence or run.state is not RunState.running:
        raise Fenced("The run belongs to a newer claim or was handed back.")
    return run
