"""Ask for a rebuild: now, or because the ledger's time has come."""

from service.domain.compaction import CompactionReason
from service.domain.errors import Busy, Conflict
from service.domain.runs import Lane, RunKind
from service.domain.states import RunState
from service.flows.lines import check_in_service
from service.flows.lookup import find_line
from service.flows.schedule import rests_until, start_of
from service.flows.strategy import can_rebuild
from service.store.database import Unit
from service.store.tables import Line, Run


def rebuild_now(unit: Unit, adapter: str, *, actor: str) -> Run:
    """Queue a rebuild of the line, or let the one that is queued begin: window and quiet hours do not hold it back.

    Raises:
        Conflict: the line is retired, has no anchor, or no recipe to rebuild by.
        Busy: a training run is running, or may begin, already.
    """
    line_id = find_line(unit, adapter).id
    queued = unit.runs.queued(line_id, Lane.compact)
    # Runs before lines, as whoever claims or publishes: so that none waits for the other.
    held = None if queued is None else unit.runs.lock(queued.id)
    line = unit.lines.lock(line_id)
    check_in_service(line)
    anchor = unit.versions.find(line.anchor_id)
    if anchor is None or not can_rebuild(anchor):
        raise Conflict(
            "The line cannot be rebuilt.",
            fix="Train it here, or import it with its recipe.",
            code="not-rebuildable",
        )
    run = _hurried(unit, held) or _enqueue(unit, line, RunKind.rebuild, urgent=True)
    unit.audit(actor, "rebuild.requested", adapter=adapter, run=run.id)
    return run


def compact_due(unit: Unit) -> int:
    """Queue a rebuild, or a collapse where there is no recipe, for every line whose ledger is due."""
    due = [line for line in unit.lines.rebuild_due(unit.now) if not _busy(unit, line)]
    for line in due:
        anchor = unit.versions.find(line.anchor_id)
        if anchor is not None:
            run = _enqueue(unit, line, RunKind.rebuild if can_rebuild(anchor) else RunKind.collapse)
            run.because = line.rebuild_because or CompactionReason.age
            unit.audit("lethe", "ledger.due", adapter=line.name, run=run.id, because=run.because)
            unit.emit("ledger.due", adapter=line.name, run_id=run.id, because=run.because)
    return len(due)


def _hurried(unit: Unit, run: Run | None) -> Run | None:
    """A rebuild that waits for its time need not wait any more. None if there is none."""
    if run is None or (run.kind, run.state) != (RunKind.rebuild, RunState.queued) or rests_until(unit, run) is None:
        return None
    run.urgent = True
    unit.runs.hint(run.id, run.pool, unit.now)
    return run


def _enqueue(unit: Unit, line: Line, kind: RunKind, *, urgent: bool = False) -> Run:
    start = None if urgent else start_of(unit, line, kind)
    run_id = None
    if not _busy(unit, line):
        run_id = unit.runs.enqueue(line.id, kind, pool=line.pool, now=unit.now, start=start, urgent=urgent)
    run = None if run_id is None else unit.runs.get(run_id)
    if run is None:
        raise Busy("A run that makes an anchor is under way.", fix="Wait until it ends.", code="line-busy")
    return run


def _busy(unit: Unit, line: Line) -> bool:
    lane = Lane.compact
    return unit.runs.queued(line.id, lane) is not None or unit.runs.running(line.id, lane) is not None
