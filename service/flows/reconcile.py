"""The one authority that retries: every pass is idempotent, so several may run."""

from dataclasses import dataclass
from datetime import timedelta

from service.domain.adapters import Strategy
from service.domain.clocks import DUE_SOON
from service.domain.runs import Lane
from service.domain.webhooks import KEEP_DELIVERIES
from service.flows.canary import advance_canaries
from service.flows.claim import MAX_ATTEMPTS
from service.flows.compact import compact_due
from service.flows.enqueue import enqueue_target
from service.flows.fail import give_up, hand_back
from service.flows.idle import is_due
from service.flows.leave_out import drop_fold, queue_idle, unwanted_folds
from service.flows.overdue import tell_due, tell_overdue
from service.flows.sweep import sweep
from service.flows.withdraw import withdraw_due
from service.store.blobs import Blobs
from service.store.database import Store, Unit

HINT_TIMEOUT_S = 60.0
# How long a repeated call with an `Idempotency-Key` gets the first answer again.
KEEP_RESPONSES = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Repairs:
    """What one pass found, and put right where it can."""

    expired_leases: int
    lost_hints: int
    missing_runs: int
    canaries: int
    withdrawn: int
    compacted: int
    idle: int
    overdue: int
    alarms: int
    deleted_trees: int


def reconcile(
    store: Store, blobs: Blobs, *, hint_timeout_s: float = HINT_TIMEOUT_S, due_soon: timedelta = DUE_SOON
) -> Repairs:
    """One pass. Each repair is its own transaction, so one broken line cannot hold up the others.

    `due_soon`: how long before its due date a request raises an alarm.
    """
    with store.read() as unit:
        expired = [run.id for run in unit.runs.expired(unit.now)]
        unheard = [run.id for run in unit.runs.unheard(unit.now, after_s=hint_timeout_s) if is_due(unit, run)]
        unwanted = unwanted_folds(unit)
    for run_id in expired:
        with store.write("take_back") as unit:
            _take_back(unit, run_id)
    for run_id in unheard:
        with store.write("hint_again") as unit:
            run = unit.runs.get(run_id)
            if run is not None:
                unit.runs.hint(run.id, run.pool, unit.now)
    for run_id in unwanted:
        with store.write() as unit:
            drop_fold(unit, run_id)
    with store.write("housekeeping") as unit:
        missing = _queue_missing(unit)
        # Before withdrawals: an alias whose version must go now has its canary to fall back on.
        canaries = advance_canaries(unit)
        withdrawn = withdraw_due(unit)
        compacted = compact_due(unit)
        unit.access.forget_responses(unit.now - KEEP_RESPONSES)
        unit.webhooks.forget(deliveries_before=unit.now - KEEP_DELIVERIES, secrets_before=unit.now)
        unit.callbacks.forget(finished_before=unit.now - KEEP_DELIVERIES)
    with store.write() as unit:
        idle = queue_idle(unit)
    with store.write() as unit:
        overdue = tell_overdue(unit)
    with store.write() as unit:
        alarms = tell_due(unit, within=due_soon)
    deleted = sweep(store, blobs)
    return Repairs(len(expired), len(unheard), missing, canaries, withdrawn, compacted, idle, overdue, alarms, deleted)


def _take_back(unit: Unit, run_id: str) -> None:
    """The worker fell silent: try again, or give up after the last attempt."""
    run = unit.runs.lock(run_id)
    if run is None or run.lease_until is None or run.lease_until >= unit.now:
        return
    run.fence += 1
    if run.attempt < MAX_ATTEMPTS:
        hand_back(unit, run, reason="worker-lost")
        return
    failure = {
        "code": "worker-lost",
        "detail": f"{run.attempt} workers were lost on this run, the last one in stage {run.stage}.",
        "class": "transient",
    }
    give_up(unit, run, dict(failure))


def _queue_missing(unit: Unit) -> int:
    """Waiting targets without a run in their lane."""
    count = 0
    for line_id, strategy in unit.targets.lines_waiting():
        wants_rebuild = strategy is Strategy.rebuild
        lane = Lane.compact if wants_rebuild else Lane.answer
        if unit.runs.queued(line_id, lane) is None and unit.runs.running(line_id, lane) is None:
            enqueue_target(unit, unit.targets.waiting(line_id, rebuild=wants_rebuild)[0])
            count += 1
    return count
