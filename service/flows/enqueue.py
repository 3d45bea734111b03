"""Make sure that waiting work has a queued run and that a worker is told of it."""

from service.domain.adapters import Strategy
from service.domain.runs import Lane, RunKind
from service.flows.idle import URGENT, is_due
from service.store.database import Unit
from service.store.tables import Line, Target


def enqueue_target(unit: Unit, target: Target) -> None:
    """A queued run of the target's lane on its line, unless there is one already."""
    line = unit.lines.get(target.line_id)
    kind = RunKind.rebuild if target.strategy is Strategy.rebuild else RunKind.influence
    unit.runs.enqueue(line.id, kind, pool=line.pool, now=unit.now)


def wake(unit: Unit, line: Line) -> None:
    """A lane became free: queue what came in meanwhile, and hint again at what may start."""
    unit.session.flush()
    for wants_rebuild in (False, True):
        for target in unit.targets.waiting(line.id, rebuild=wants_rebuild)[:1]:
            enqueue_target(unit, target)
    own = [unit.runs.queued(line.id, lane) for lane in URGENT]
    idle = [run for run in unit.runs.all_queued(Lane.idle) if run.pool == line.pool and is_due(unit, run)]
    for run in (*own, *idle):
        if run is not None:
            unit.runs.hint(run.id, run.pool, unit.now)
