"""Train leave-group-out adapters, a fold a run, while workers have nothing else to do."""

from dataclasses import asdict
from datetime import timedelta

from service.domain.engine import OUT_OF_FOLD, out_of_fold_capability
from service.domain.runs import Lane, RunKind
from service.domain.states import RunState
from service.flows.claim import Claim
from service.flows.fence import fenced_run
from service.flows.finish import finish
from service.flows.idle import BUSY_LANES, is_idle, wants_folds
from service.flows.staged import StagedFold
from service.store.database import Unit
from service.store.tables import Line, Run, Version

# How long a line whose fold failed for good is left alone.
FAILED_AGAIN = timedelta(hours=1)


def queue_idle(unit: Unit) -> int:
    """Queue a run for every line that wants folds and whose pool is idle; returns how many.

    Queued ones whose line wants no folds any more are canceled.
    """
    for queued in unit.runs.all_queued(Lane.idle):
        run, line = unit.runs.lock(queued.id), unit.lines.get(queued.line_id)
        if run is not None and run.state is RunState.queued and not wants_folds(unit, line):
            _cancel(unit, line, run)
    free = [line for line in unit.lines.active() if wants_folds(unit, line) and _is_free(unit, line)]
    for line in free:
        unit.runs.enqueue(line.id, RunKind.out_of_fold, pool=line.pool, now=unit.now)
    return len(free)


def must_make_room(unit: Unit, claim: Claim, pool: str) -> bool:
    """Whether a running fold should stop: other work waits in its pool, or its line wants no folds any more."""
    return unit.runs.any_in_pool(pool, BUSY_LANES, RunState.queued) or not _is_wanted(unit, claim)


def publish_fold(unit: Unit, claim: Claim, staged: StagedFold) -> None:
    """The anchor gains a fold; with the last one, updates may use them. Canceled if an erasure came in.

    Raises:
        Fenced: stale claim.
    """
    run = fenced_run(unit, claim.run_id, claim.fence)
    line = unit.lines.lock(claim.line_id)
    if not _is_wanted(unit, claim):
        _cancel(unit, line, run)
        return
    anchor = unit.versions.get(str(claim.anchor_id))
    fold = {"prefix": staged.files.prefix, "files": dict(staged.files.files)}
    anchor.out_of_fold = [*(anchor.out_of_fold or ()), fold]
    _show_progress(anchor, len(anchor.out_of_fold), staged.result.remaining)
    unit.audit(str(run.worker), "fold.trained", adapter=line.name, run=run.id, remaining=staged.result.remaining)
    finish(unit, line, run, staged.result.seconds)


def _is_free(unit: Unit, line: Line) -> bool:
    """Whether the line's pool is idle, its idle lane empty, and no fold failed there lately."""
    last = unit.runs.last_in(line.id, Lane.idle)
    if last is not None and last.state in (RunState.queued, RunState.running):
        return False
    failed_at = last.finished_at if last is not None and last.state is RunState.failed else None
    return is_idle(unit, line.pool) and (failed_at is None or failed_at < unit.now - FAILED_AGAIN)


def _is_wanted(unit: Unit, claim: Claim) -> bool:
    """Whether the anchor is the one that was claimed, and its line still wants folds."""
    line = unit.lines.get(claim.line_id)
    return line.anchor_id == claim.anchor_id and wants_folds(unit, line)


def _show_progress(anchor: Version, done: int, remaining: int) -> None:
    others = [c for c in anchor.capabilities or () if c["name"] != OUT_OF_FOLD]
    anchor.capabilities = [*others, asdict(out_of_fold_capability(done, done + remaining))]


def _cancel(unit: Unit, line: Line, run: Run) -> None:
    """What it stored, its checkpoint among it, is deleted by the sweep."""
    run.state, run.finished_at, run.lease_until, run.stage = RunState.canceled, unit.now, None, None
    unit.audit("lethe", "run.canceled", adapter=line.name, run=run.id)
    unit.emit("run.canceled", adapter=line.name, run_id=run.id, kind=run.kind)
