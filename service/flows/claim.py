"""Give a queued run to a worker: compare-and-set, a lease and a fence. Membership freezes here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from service.domain.runs import RunKind, lane_of
from service.domain.scheduling import Wait
from service.domain.states import RunState, TargetState
from service.flows.idle import is_wanted, others_wait
from service.flows.progress import move_targets
from service.flows.retire import answer_retired, retire_emptied
from service.flows.schedule import is_held, is_quiet_now, rests_until
from service.flows.training_data import edited, present, source_version
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import Line, Run, Target, Version

MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to a run. Every later write carries `fence` and is refused once it is stale."""

    run_id: str
    line_id: str
    kind: RunKind
    fence: int
    attempt: int
    anchor_id: str | None


def claim(unit: Unit, vault: Vault, run_id: str, *, worker: str, lease_s: float) -> Claim | None:
    """Take the run, or None if it is not to be taken now: a hint may be late, doubled or premature."""
    run = unit.runs.lock(run_id)
    if run is None or run.state is not RunState.queued:
        return None
    line = unit.lines.lock(run.line_id)
    if line.retired_at is not None:
        answer_retired(unit, vault, line, run)
        return None
    if unit.runs.running(line.id, run.lane) is not None or not _is_ready(unit, line, run):
        return None
    if is_held(unit, line, run):
        return None
    resumed = run.checkpoint is not None
    members = unit.targets.of_run(run.id) if resumed else _members(unit, line, run.kind)
    if not members and _answers_requests_only(run):
        run.state, run.finished_at = RunState.canceled, unit.now
        return None
    last = source_version(unit, line)
    if last is not None and _leaves_nothing(unit, line, last, members):
        retire_emptied(unit, vault, line, run)
        return None
    run.state, run.worker, run.started_at = RunState.running, worker, unit.now
    run.attempt, run.fence = run.attempt + 1, run.fence + 1
    run.lease_until = unit.now + timedelta(seconds=lease_s)
    run.stage, run.progress, run.anchor_id = "loading", 0.0, line.anchor_id
    # A checkpoint holds for the data it was trained on: later requests are the tail's business.
    run.frozen_seq = run.frozen_seq if resumed else line.ledger_head
    for target in members:
        target.run_id = run.id
    move_targets(unit, members, TargetState.running)
    unit.audit(worker, "run.claimed", run=run.id, fence=run.fence, attempt=run.attempt)
    unit.emit("run.started", adapter=line.name, run_id=run.id, kind=run.kind, attempt=run.attempt)
    return Claim(run.id, line.id, run.kind, run.fence, run.attempt, line.anchor_id)


def _is_ready(unit: Unit, line: Line, run: Run) -> bool:
    """Updates and rebuilds need an anchor, training makes the first one, and folds let all others go first.

    On a retired line nothing is left to wait for.
    """
    if line.retired_at is not None:
        return True
    if run.kind is RunKind.out_of_fold:
        return is_wanted(unit, line, run) and not is_quiet_now(unit, line) and not others_wait(unit, run.pool)
    return run.kind in (RunKind.train, RunKind.import_) or line.anchor_id is not None


def _answers_requests_only(run: Run) -> bool:
    """Not so a rebuild that somebody asked for, or that the ledger's time brought."""
    is_scheduled = run.urgent or run.because is not None
    return run.kind is RunKind.influence or (run.kind is RunKind.rebuild and not is_scheduled)


def _members(unit: Unit, line: Line, kind: RunKind) -> Sequence[Target]:
    """The waiting targets this run takes: all of the oldest one's batch."""
    if kind not in (RunKind.influence, RunKind.rebuild):
        return []
    waiting = unit.targets.waiting(line.id, rebuild=kind is RunKind.rebuild)
    return [target for target in waiting if target.batch == waiting[0].batch]


def _leaves_nothing(unit: Unit, line: Line, version: Version, members: Sequence[Target]) -> bool:
    """Whether the members remove every instance the line is still trained on."""
    if not members:
        return False
    now = edited(unit.ledger.of_line(line.id), version.dataset_id)
    left = {row.instance_id for row in present(unit, version.dataset_id, now)}
    edits = unit.targets.edits([target.id for target in members])
    return left <= {edit.instance_id for edit in edits if edit.text_id is None}


def waiting_for(unit: Unit, run: Run, pools: set[str]) -> str | None:
    """Why a queued run does not start, if nothing is wrong with it but its time has not come."""
    if run.state is not RunState.queued:
        return None
    line = unit.lines.get(run.line_id)
    if rests_until(unit, run) is not None:
        return run.waits_for
    if run.kind is RunKind.out_of_fold and is_quiet_now(unit, line):
        return Wait.quiet_hours
    if run.pool not in pools:
        return f"worker in pool {run.pool}"
    if not _is_ready(unit, line, run):
        return "idle workers" if run.kind is RunKind.out_of_fold else "anchor"
    if unit.runs.running(line.id, lane_of(run.kind)) is not None:
        return "running run"
    return None
