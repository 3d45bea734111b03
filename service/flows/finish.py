"""End a run that did what it was to do."""

from collections.abc import Mapping

from service.domain.states import RunState
from service.flows.enqueue import wake
from service.store.database import Unit
from service.store.tables import Line, Run


def finish(unit: Unit, line: Line, run: Run, seconds: Mapping[str, float]) -> None:
    """The run succeeded, having taken so many `seconds` a stage; whatever waits behind it is woken."""
    run.state, run.finished_at, run.lease_until = RunState.succeeded, unit.now, None
    run.seconds = dict(seconds)
    run.stage, run.progress, run.failure = None, 1.0, None
    unit.emit("run.succeeded", adapter=line.name, run_id=run.id, kind=run.kind)
    wake(unit, line)
