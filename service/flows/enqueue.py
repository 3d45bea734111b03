"""Make sure that waiting work has a queued run and that a worker is told of it when it may begin."""

from service.domain.runs import Lane, answering, lane_of
from service.flows.idle import URGENT, is_due
from service.flows.schedule import is_held, reschedule, start_of
from service.store.database import Unit
from service.store.tables import Line, Target


def enqueue_target(unit: Unit, target: Target) -> None:
    """A queued run of the target's lane on its line, unless there is one already, which it joins."""
    line = unit.lines.get(target.line_id)
    kind = answering(target.strategy)
    start = start_of(unit, line, kind)
    if unit.runs.enqueue(line.id, kind, pool=line.pool, now=unit.now, start=start) is None:
        run = unit.runs.queued(line.id, lane_of(kind))
        if run is not None:
            reschedule(unit, line, run)


def wake(unit: Unit, line: Line) -> None:
    """A lane became free: queue what came in meanwhile, and hint again at what may start."""
    unit.session.flush()
    for wants_rebuild in (False, True):
        for target in unit.targets.waiting(line.id, rebuild=wants_rebuild)[:1]:
            enqueue_target(unit, target)
    queued = [run for lane in URGENT if (run := unit.runs.queued(line.id, lane)) is not None]
    own = [run for run in queued if not is_held(unit, line, run)]
    idle = [run for run in unit.runs.all_queued(Lane.idle) if run.pool == line.pool and is_due(unit, run)]
    for run in (*own, *idle):
        unit.runs.hint(run.id, run.pool, unit.now)
