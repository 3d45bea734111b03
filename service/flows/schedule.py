"""Tell when a run of a line may begin, and have a worker hear of it then.

The window holds back what answers requests, quiet hours everything that makes a version in the course of time:
updates, rebuilds and collapses, and the idle work before them. Trainings and imports begin when they are asked for,
and so does a rebuild that somebody asks for. What has begun goes on, also after it was handed back.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.domain.compaction import begin_by
from service.domain.quiet_hours import is_quiet
from service.domain.runs import RunKind
from service.domain.scheduling import Start, Wait, Waiting, start
from service.flows.strategy import estimated_rebuild_s, policy_of
from service.store.database import Unit
from service.store.tables import Line, Run

COMPACTING = (RunKind.rebuild, RunKind.collapse)


def start_of(unit: Unit, line: Line, kind: RunKind, *, also: Sequence[Waiting] = ()) -> Start:
    """When a run of this kind may begin that answers what waits now, and `also` what might come."""
    policy = policy_of(line)
    is_scheduled = kind is RunKind.influence or kind in COMPACTING
    if line.retired_at is not None or not is_scheduled or not (policy.coalesce_s or policy.quiet_hours):
        return Start(unit.now)
    anchor, compacts = unit.versions.find(line.anchor_id), kind in COMPACTING
    waiting = [] if kind is RunKind.collapse else unit.targets.waits(line.id, rebuild=kind is RunKind.rebuild)
    return start(
        policy,
        now=unit.now,
        waiting=[*waiting, *also],
        scheduled=line.rebuild_due_at if compacts else None,
        begin_by=shredding_begins(unit, line) if compacts else None,
        estimated_s=None if anchor is None else estimated_rebuild_s(anchor, 1.0),
    )


def start_of_run(unit: Unit, line: Line, run: Run, *, also: Sequence[Waiting] = ()) -> Start:
    """When a queued run may begin. One that failed rests before it is tried again, whoever waits."""
    until = rests_until(unit, run)
    if until is not None and run.waits_for is Wait.retry:
        return Start(until, Wait.retry)
    if run.urgent or run.started_at is not None:
        return Start(unit.now)
    return start_of(unit, line, run.kind, also=also)


def is_held(unit: Unit, line: Line, run: Run) -> bool:
    """Whether a queued run may not begin yet. Its worker is told when it may."""
    begins = start_of_run(unit, line, run)
    if begins.waits_for is not None and begins.at != run.not_before:
        unit.runs.hint(run.id, run.pool, unit.now, begins)
    return begins.waits_for is not None


def rests_until(unit: Unit, run: Run) -> datetime | None:
    """What a queued run was last told to wait for, if that time has not come."""
    return run.not_before if run.not_before is not None and run.not_before > unit.now else None


def rest(unit: Unit, run: Run, pause: timedelta) -> None:
    """A queued run is not to be tried again before a pause."""
    unit.runs.hint(run.id, run.pool, unit.now, Start(unit.now + pause, Wait.retry))
    unit.session.refresh(run)


def reschedule(unit: Unit, line: Line, run: Run) -> None:
    """Something changed of what a queued run waits for: its worker is told if that changes when it may begin."""
    was_held = rests_until(unit, run) is not None
    if not is_held(unit, line, run) and was_held:
        unit.runs.hint(run.id, run.pool, unit.now)


def shredding_begins(unit: Unit, line: Line) -> datetime | None:
    """When the line must be rebuilt or collapse for its ledger to be shredded in time."""
    shred_by, anchor = unit.ledger.shred_by(line.id), unit.versions.find(line.anchor_id)
    if shred_by is None or anchor is None:
        return None
    return begin_by(shred_by, policy_of(line), estimated_s=estimated_rebuild_s(anchor, 1.0))


def is_quiet_now(unit: Unit, line: Line) -> bool:
    return is_quiet(unit.now, policy_of(line).quiet_hours)
