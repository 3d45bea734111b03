"""Train leave-group-out adapters, a fold a run, while workers have nothing else to do."""

from dataclasses import asdict
from datetime import datetime, timedelta

from service.domain.engine import Grade, out_of_fold_capability
from service.domain.runs import Lane, RunKind
from service.domain.states import RunState
from service.domain.version import ENGINE_VERSION
from service.flows.claim import Claim
from service.flows.fence import fenced_run
from service.flows.finish import finish
from service.flows.idle import cancel_fold, has_idle_worker, is_wanted, others_wait, wants_folds
from service.flows.schedule import is_quiet_now
from service.flows.staged import StagedFold
from service.flows.trees import keep_key
from service.store.database import Unit
from service.store.tables import Line, Run, Version

# A fold that fails for good is tried again after a while, but not for ever: the next anchor starts afresh.
PAUSE_AFTER_FAILURE = timedelta(hours=1)
MAX_FAILURES = 3


def queue_idle(unit: Unit) -> int:
    """Queue a run for every line that wants folds and whose pool has an idle worker; returns how many."""
    ready = [line for line in unit.lines.active() if wants_folds(unit, line) and _may_start(unit, line)]
    for line in ready:
        unit.runs.enqueue(line.id, RunKind.out_of_fold, pool=line.pool, now=unit.now)
    return len(ready)


def unwanted_folds(unit: Unit) -> list[str]:
    """Queued runs whose line wants them no more: a request came in, the anchor or the policy changed."""
    return [run.id for run in unit.runs.all_queued(Lane.idle) if not is_wanted(unit, unit.lines.get(run.line_id), run)]


def drop_fold(unit: Unit, run_id: str) -> None:
    """Cancel a queued run, unless it is wanted again or was claimed meanwhile."""
    run = unit.runs.lock(run_id)
    if run is not None and run.state is RunState.queued:
        line = unit.lines.get(run.line_id)
        if not is_wanted(unit, line, run):
            cancel_fold(unit, line, run)


def must_make_room(unit: Unit, claim: Claim) -> bool:
    """Whether a running fold should stop: other work waits in its pool, its line's quiet hours have begun, or it
    wants no folds any more."""
    run, line = unit.runs.get(claim.run_id), unit.lines.get(claim.line_id)
    if run is None or not is_wanted(unit, line, run):
        return True
    return others_wait(unit, run.pool) or is_quiet_now(unit, line)


def publish_fold(unit: Unit, claim: Claim, staged: StagedFold) -> None:
    """The anchor gains a fold, or the run is canceled if its line wants none any more.

    Raises:
        Fenced: stale claim.
    """
    run = fenced_run(unit, claim.run_id, claim.fence)
    line = unit.lines.lock(claim.line_id)
    if not is_wanted(unit, line, run):
        cancel_fold(unit, line, run)
        return
    keep_key(unit, line, staged.files)
    anchor, remaining = unit.versions.get(str(line.anchor_id)), staged.result.remaining
    fold = {
        "prefix": staged.files.prefix,
        "files": dict(staged.files.files),
        "remaining": remaining,
        "trained_at": unit.now.isoformat(),
        "engine_version": ENGINE_VERSION,
    }
    anchor.out_of_fold = [*(anchor.out_of_fold or ()), fold]
    _show_progress(anchor, len(anchor.out_of_fold), remaining)
    if staged.result.predicted_fidelity:
        predicted = {"predicted_fidelity": dict(staged.result.predicted_fidelity)}
        anchor.measurements = {**(anchor.measurements or {}), **predicted}
    unit.audit(str(run.worker), "fold.trained", adapter=line.name, run=run.id, remaining=remaining)
    finish(unit, line, run, staged.result.seconds)


def _may_start(unit: Unit, line: Line) -> bool:
    """Whether a worker is idle, the line's idle lane empty, no quiet hour, and its folds did not fail lately or too
    often."""
    if is_quiet_now(unit, line):
        return False
    if unit.runs.queued(line.id, Lane.idle) is not None or unit.runs.running(line.id, Lane.idle) is not None:
        return False
    failed = unit.runs.failed_from(str(line.anchor_id), Lane.idle)
    return has_idle_worker(unit, line.pool) and (
        not failed or (len(failed) < MAX_FAILURES and _ended(failed[0]) < unit.now - PAUSE_AFTER_FAILURE)
    )


def _ended(run: Run) -> datetime:
    assert run.finished_at is not None, "failed runs have ended"
    return run.finished_at


def _show_progress(anchor: Version, done: int, remaining: int) -> None:
    others = [c for c in anchor.capabilities or () if c["name"] != Grade.out_of_fold]
    anchor.capabilities = [*others, asdict(out_of_fold_capability(done, done + remaining))]
