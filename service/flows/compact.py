"""Ask for a rebuild: now, or because the ledger's time has come."""

from service.domain.errors import Busy, Conflict
from service.domain.runs import Lane, RunKind
from service.flows.lines import check_in_service
from service.flows.lookup import find_line
from service.flows.strategy import can_rebuild
from service.store.database import Unit
from service.store.tables import Line, Run


def rebuild_now(unit: Unit, adapter: str, *, actor: str) -> Run:
    """Queue a rebuild of the line.

    Raises:
        Conflict: the line is retired, has no anchor, or no recipe to rebuild by.
        Busy: a training run is queued or running already.
    """
    line = unit.lines.lock(find_line(unit, adapter).id)
    check_in_service(line)
    anchor = unit.versions.find(line.anchor_id)
    if anchor is None or not can_rebuild(anchor):
        raise Conflict(
            "The line cannot be rebuilt.",
            fix="Train it here, or import it with its recipe.",
            code="not-rebuildable",
        )
    run = _enqueue(unit, line, RunKind.rebuild)
    unit.audit(actor, "rebuild.requested", adapter=adapter, run=run.id)
    return run


def compact_due(unit: Unit) -> int:
    """Queue a rebuild, or a collapse where there is no recipe, for every line whose ledger is due."""
    due = [line for line in unit.lines.rebuild_due(unit.now) if not _busy(unit, line)]
    for line in due:
        anchor = unit.versions.find(line.anchor_id)
        if anchor is not None:
            _enqueue(unit, line, RunKind.rebuild if can_rebuild(anchor) else RunKind.collapse)
    return len(due)


def _enqueue(unit: Unit, line: Line, kind: RunKind) -> Run:
    run_id = None if _busy(unit, line) else unit.runs.enqueue(line.id, kind, pool=line.pool, now=unit.now)
    run = None if run_id is None else unit.runs.get(run_id)
    if run is None:
        raise Busy("A run that makes an anchor is under way.", fix="Wait until it ends.", code="line-busy")
    return run


def _busy(unit: Unit, line: Line) -> bool:
    lane = Lane.compact
    return unit.runs.queued(line.id, lane) is not None or unit.runs.running(line.id, lane) is not None
