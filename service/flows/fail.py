"""What becomes of a run that did not publish: retried by class, bisected, escalated, or shown to a person."""

from collections.abc import Sequence
from datetime import timedelta

from service.domain.adapters import Strategy
from service.domain.engine import EngineFailure, FailureClass
from service.domain.ids import new_id
from service.domain.runs import Lane, RunKind, lane_of
from service.domain.states import RunState, TargetState
from service.flows.claim import MAX_ATTEMPTS, Claim
from service.flows.enqueue import wake
from service.flows.fence import fenced_run
from service.flows.idle import cancel_fold, is_wanted
from service.flows.new_version import reject
from service.flows.progress import move_targets
from service.flows.schedule import rest
from service.flows.staged import StagedAnswer, StoredTree
from service.flows.strategy import can_rebuild, record_choice
from service.flows.trees import keep_key
from service.store.database import Unit
from service.store.tables import Line, Run, Target

ANCHOR_MOVED = "anchor-moved"
STALE_CHECKPOINT = "checkpoint"
TAIL_UNSOLVED = "tail-unsolved"
VERIFICATION_FAILED = "verification-failed"
COMPACT_AGAIN = timedelta(hours=1)
# Before each further attempt: a store or device that was away for a moment does not cost all attempts.
PAUSES = (timedelta(seconds=5), timedelta(seconds=60))


def fail(unit: Unit, claim: Claim, failure: EngineFailure) -> None:
    """A worker gives a run up.

    Raises:
        Fenced: the worker no longer holds the run.
    """
    run = fenced_run(unit, claim.run_id, claim.fence)
    if run.kind is RunKind.influence and unit.lines.lock(run.line_id).anchor_id != claim.anchor_id:
        # What was missing or wrong may have been the old anchor, whose files go when a new one takes over.
        hand_back(unit, run, reason=ANCHOR_MOVED, counts=False)
        return
    if failure.code == STALE_CHECKPOINT:
        run.checkpoint = None
        hand_back(unit, run, reason=failure.code)
        return
    if failure.code == TAIL_UNSOLVED:
        # The checkpoint froze the part without the tail: the next attempt is to train without either.
        run.checkpoint = None
    if failure.kind is not FailureClass.permanent and run.attempt < MAX_ATTEMPTS:
        hand_back(unit, run, reason=failure.code, pause=PAUSES[run.attempt - 1])
        return
    give_up(unit, run, {"code": failure.code, "detail": failure.detail, "class": str(failure.kind)})


def hand_back(unit: Unit, run: Run, *, reason: str, counts: bool = True, pause: timedelta | None = None) -> None:
    """Queue a running run again, members included, to be claimed after a pause at the earliest.

    `counts` False: the attempt was not its fault. Idle work has a pace of its own (`leave_out`).

    A run with a checkpoint keeps its members, because the checkpoint was trained without their data. A fold that
    nobody wants any more is canceled instead.
    """
    line = unit.lines.lock(run.line_id)
    if run.kind is RunKind.out_of_fold and not is_wanted(unit, line, run):
        cancel_fold(unit, line, run)
        return
    members = unit.targets.of_run(run.id)
    successor = unit.runs.queued(line.id, run.lane)
    run.lease_until, run.worker, run.stage = None, None, None
    if not counts:
        run.attempt -= 1
    # The queued run of the lane takes over: the members, why it was asked for, and the attempts that they have had, or
    # what kills every worker would never be given up where requests keep coming. Two queued runs in a lane cannot be.
    next_ = run if successor is None or run.version_id is not None else successor
    run.state = RunState.queued if next_ is run else RunState.canceled
    if next_ is not run:
        run.finished_at = unit.now
        unit.runs.take_over(next_.id, run)
    unit.session.flush()
    move_targets(unit, members, TargetState.queued)
    if run.checkpoint is None:
        for target in members:
            target.run_id = None
    if pause is not None and run.lane is not Lane.idle:
        rest(unit, next_, pause)
    wake(unit, line)
    unit.audit("lethe", "run.requeued", run=run.id, reason=reason)
    unit.emit("run.requeued", adapter=line.name, run_id=run.id, reason=reason)


def make_room(unit: Unit, claim: Claim, checkpoint: StoredTree) -> str | None:
    """A rebuild or a fold goes on later, from this checkpoint. Returns where the one before lies, which is to go.

    Raises:
        Fenced: the worker no longer holds the run.
    """
    run = fenced_run(unit, claim.run_id, claim.fence)
    previous, run.checkpoint = run.checkpoint, checkpoint.prefix
    keep_key(unit, unit.lines.get(run.line_id), checkpoint)
    if previous is not None:
        unit.trees.shred(previous, unit.now)
    hand_back(unit, run, reason="yielded", counts=False)
    return previous


def start_over(unit: Unit, run: Run) -> None:
    """Forget the checkpoint of a queued run, and with it the membership that the checkpoint froze."""
    run.checkpoint = None
    for target in unit.targets.of_run(run.id):
        target.run_id = None


def give_up(unit: Unit, run: Run, failure: dict[str, object]) -> None:
    """End a run for good. Several members are split in halves, so that one bad request stands alone."""
    line = unit.lines.lock(run.line_id)
    members = unit.targets.of_run(run.id)
    run.state, run.finished_at, run.lease_until, run.failure = RunState.failed, unit.now, None, failure
    unit.session.flush()
    unit.audit("lethe", "run.failed", run=run.id, code=failure["code"])
    unit.emit("run.failed", adapter=line.name, run_id=run.id, kind=run.kind, code=failure["code"])
    if len(members) > 1:
        _bisect(unit, members)
    elif members and run.kind is RunKind.influence and _rebuild_may_help(unit, line, failure):
        _to_rebuild(unit, line, run, members, cause=str(failure["code"]), reason=str(failure["detail"]))
    else:
        move_targets(unit, members, TargetState.needs_attention, failure=failure)
    if lane_of(run.kind) is Lane.compact and line.rebuild_due_at is not None:
        line.rebuild_due_at = unit.now + COMPACT_AGAIN
    if run.version_id is not None:
        _reject_version(unit, line, run, failure)
    wake(unit, line)


def escalate(unit: Unit, line: Line, run: Run, members: Sequence[Target], staged: StagedAnswer) -> None:
    """A measured failure of an influence update: rebuild instead, or ask a person where that is impossible."""
    reason = " ".join(staged.result.reasons) or "The update failed its verification."
    if can_rebuild(unit.versions.get(staged.anchor_id)):
        _to_rebuild(unit, line, run, members, cause=VERIFICATION_FAILED, reason=reason)
        return
    failure = {"code": VERIFICATION_FAILED, "detail": reason, "class": "permanent"}
    move_targets(unit, members, TargetState.needs_attention, failure=dict(failure))


def _bisect(unit: Unit, members: Sequence[Target]) -> None:
    half = len(members) // 2
    move_targets(unit, members, TargetState.queued)
    for part in (members[:half], members[half:]):
        batch = new_id("tgt")
        for target in part:
            target.batch, target.run_id = batch, None


def _rebuild_may_help(unit: Unit, line: Line, failure: dict[str, object]) -> bool:
    """Bad texts fail in a rebuild too; everything else may not."""
    anchor = unit.versions.find(line.anchor_id)
    return anchor is not None and can_rebuild(anchor) and failure.get("code") not in _BAD_TEXT


_BAD_TEXT = frozenset({"empty-completion", "too-many-tokens"})


def _to_rebuild(unit: Unit, line: Line, run: Run, members: Sequence[Target], *, cause: str, reason: str) -> None:
    """Send an update's members to a rebuild. `reason` goes into their report, `cause` to the audit and the feed."""
    if members and members[0].state is TargetState.running:
        move_targets(unit, members, TargetState.queued)
    for target in members:
        record_choice(target, Strategy.rebuild, reason, at=unit.now, run_id=run.id)
        target.run_id = None
    unit.audit("lethe", "run.escalated", run=run.id, adapter=line.name, to=Strategy.rebuild, cause=cause)
    unit.emit("run.escalated", adapter=line.name, run_id=run.id, to=Strategy.rebuild, cause=cause)


def _reject_version(unit: Unit, line: Line, run: Run, failure: dict[str, object]) -> None:
    version = unit.versions.get(str(run.version_id))
    reject(unit, line, version, code=str(failure["code"]), detail=str(failure["detail"]))
    if line.anchor_id is None:
        waiting = [t for t in unit.targets.open_of_line(line.id) if t.state is TargetState.queued]
        move_targets(unit, waiting, TargetState.needs_attention, failure={"code": "no-anchor", **failure})
