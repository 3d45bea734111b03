"""When idle workers may train leave-group-out adapters for a line.

Never on what somebody asked to be forgotten: a line with open requests or a ledger waits for its next anchor.
"""

from service.domain.engine import Grade
from service.domain.runs import Lane
from service.domain.states import RunState
from service.flows.schedule import is_quiet_now
from service.flows.strategy import can_influence, can_rebuild, policy_of
from service.store.database import Unit
from service.store.tables import Line, Run, Version

# Work that idle work makes room for.
URGENT = (Lane.answer, Lane.compact)
# A worker that said nothing for so long is gone. Generous: one too many costs a hint that nobody takes.
SILENCE_S = 900.0


def wants_folds(unit: Unit, line: Line) -> bool:
    """Whether the policy asks for folds, some are missing, and nothing trained on is to be forgotten or replaced."""
    if not policy_of(line).out_of_fold:
        return False
    anchor = unit.versions.find(line.anchor_id)
    return (
        anchor is not None
        and can_rebuild(anchor)
        and can_influence(anchor)
        and not _has_every_fold(anchor)
        and unit.runs.running(line.id, Lane.compact) is None
        and not unit.targets.open_of_line(line.id)
        and not unit.ledger.targets_with_tail(line.id)
    )


def is_last_fold(anchor: Version) -> bool:
    """Whether all folds of the anchor but one are done."""
    done = anchor.out_of_fold or []
    return bool(done) and done[-1]["remaining"] == 1


def is_wanted(unit: Unit, line: Line, run: Run) -> bool:
    """Whether a fold is worth going on with: its line wants folds, of the anchor that this one was begun for."""
    return run.anchor_id in (None, line.anchor_id) and wants_folds(unit, line)


def others_wait(unit: Unit, pool: str) -> bool:
    """Whether a worker of the pool has something better to do than idle work."""
    return unit.runs.any_waiting(pool, URGENT, unit.now)


def has_idle_worker(unit: Unit, pool: str) -> bool:
    alive = unit.runs.pools_alive(unit.now, within_s=SILENCE_S).get(pool, 0)
    return alive > unit.runs.running_in(pool) and not others_wait(unit, pool)


def is_due(unit: Unit, run: Run) -> bool:
    """Whether a worker may be told of a queued run: idle work waits for an idle one and the end of quiet hours."""
    if run.lane is not Lane.idle:
        return True
    return has_idle_worker(unit, run.pool) and not is_quiet_now(unit, unit.lines.get(run.line_id))


def cancel_fold(unit: Unit, line: Line, run: Run) -> None:
    """End an idle run that is not wanted any more. The sweep deletes what it stored, its checkpoint included."""
    run.state, run.finished_at, run.lease_until, run.stage = RunState.canceled, unit.now, None, None
    unit.audit("lethe", "run.canceled", adapter=line.name, run=run.id)
    unit.emit("run.canceled", adapter=line.name, run_id=run.id, kind=run.kind)


def _has_every_fold(anchor: Version) -> bool:
    return any(c["supported"] for c in anchor.capabilities or () if c["name"] == Grade.out_of_fold)
