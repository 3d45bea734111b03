"""Take a line out of service for good: an operator says so, or its last training data are to be forgotten.

Nothing of the line is left to be served, which answers every removal exactly and leaves nothing to correct. There is
no version without the data, so the final certificates speak of the last one there was, which is withdrawn. What nobody
has approved, or is on hold, waits for its decision, and is answered once a worker takes it up.
"""

from collections.abc import Sequence

from service.domain.adapters import ClaimLevel
from service.domain.runs import Lane, RunKind
from service.domain.states import RunState, TargetState, VersionState
from service.flows.append import append_members
from service.flows.certify import certify, is_final
from service.flows.erase import erased_by
from service.flows.lines import check_in_service
from service.flows.lookup import find_line
from service.flows.new_version import reject, remove_alias
from service.flows.progress import move_targets
from service.flows.trees import shred_derived
from service.flows.vault import Vault
from service.flows.withdraw import take_out
from service.store.database import Unit
from service.store.tables import Line, Run, Target, Version

EMPTIED = "All that it was trained on is to be forgotten."
_NOTHING_TO_CORRECT = {
    "code": "line-retired",
    "detail": "The line was retired before the correction was made: nothing is left that could be corrected.",
}


def retire(unit: Unit, vault: Vault, adapter: str, *, actor: str, reason: str) -> Line:
    """Retire a line. Requests that remove something get their final certificate, corrections are called off.

    Raises:
        NotFound: unknown line.
        Conflict: it is retired already.
    """
    found = find_line(unit, adapter)
    # Runs before lines, as whoever claims or publishes: so that none waits for the other.
    for run in _alive(unit, found):
        unit.runs.lock(run.id)
    line = unit.lines.lock(found.id)
    check_in_service(line)
    run = unit.runs.record(line.id, RunKind.retire, pool=line.pool, now=unit.now)
    _end(unit, vault, line, run, actor=actor, reason=reason)
    return line


def retire_emptied(unit: Unit, vault: Vault, line: Line, run: Run) -> None:
    """The run's members remove all that the line is trained on, so the run becomes the line's retirement."""
    _conclude(unit, run)
    _end(unit, vault, line, run, actor="lethe", reason=EMPTIED)


def answer_retired(unit: Unit, vault: Vault, line: Line, run: Run) -> None:
    """A run that was queued for a line which is retired: what waited for a decision, or came at the same moment."""
    waiting = [t for rebuild in (False, True) for t in unit.targets.waiting(line.id, rebuild=rebuild)]
    _conclude(unit, run)
    _answer(unit, vault, line, run, waiting)


def _end(unit: Unit, vault: Vault, line: Line, run: Run, *, actor: str, reason: str) -> None:
    before = [t for t in unit.targets.in_state(line.id, _ANSWERED) if t.version_id is not None and _is_open(unit, t)]
    waiting = [target for target in unit.targets.open_of_line(line.id) if _is_decided(unit, target)]
    line.retired_at, line.retired_by, line.retired_reason = unit.now, actor, reason
    _take_down(unit, line, actor=actor)
    unit.note_erasure("retired", line=line.id)
    unit.audit(actor, "adapter.retired", adapter=line.name, run=run.id)
    unit.emit("adapter.retired", adapter=line.name, run_id=run.id)
    unit.session.flush()
    _answer(unit, vault, line, run, waiting, before)


_ANSWERED = (TargetState.awaiting_rebuild, TargetState.succeeded, TargetState.needs_attention)


def _is_open(unit: Unit, target: Target) -> bool:
    """Whether the last word on an answered target was not said."""
    return target.state is not TargetState.succeeded or not is_final(unit, target)


def _is_decided(unit: Unit, target: Target) -> bool:
    request = unit.requests.get(target.request_id)
    assert request is not None, "targets refer to existing requests"
    return target.state is not TargetState.awaiting_approval and not request.on_hold


def _take_down(unit: Unit, line: Line, *, actor: str) -> None:
    """No alias, no version, no run, no key to derived data. The reconciler deletes what bytes are left."""
    line.anchor_id = line.head_id = line.rebuild_due_at = line.rebuild_because = None
    for alias in unit.lines.aliases(line.id):
        remove_alias(unit, line, alias, actor=actor)
    for version in unit.versions.of_line(line.id, VersionState.ready, VersionState.quarantined):
        take_out(unit, line, version, actor=actor)
    for version in unit.versions.of_line(line.id, VersionState.preparing):
        reject(unit, line, version, code="line-retired", detail="The line was retired before the version was ready.")
    shred_derived(unit, line)
    for run in _alive(unit, line):
        # The fence turns away a worker that is still at it.
        run.state, run.finished_at, run.fence = RunState.canceled, unit.now, run.fence + 1
        run.lease_until, run.stage = None, None
        unit.audit("lethe", "run.canceled", adapter=line.name, run=run.id)
        unit.emit("run.canceled", adapter=line.name, run_id=run.id, kind=run.kind)


def _alive(unit: Unit, line: Line) -> list[Run]:
    runs = [found(line.id, lane) for lane in Lane for found in (unit.runs.queued, unit.runs.running)]
    return [run for run in runs if run is not None]


def _conclude(unit: Unit, run: Run) -> None:
    """A queued run becomes one that retired its line, and is over."""
    run.kind, run.state, run.started_at, run.finished_at = RunKind.retire, RunState.succeeded, unit.now, unit.now
    run.checkpoint = None
    unit.session.flush()


def _answer(
    unit: Unit, vault: Vault, line: Line, run: Run, waiting: Sequence[Target], before: Sequence[Target] = ()
) -> None:
    """Exact, and final: for what waits and removes something, and for all that was answered `before`.

    The ledger and the suppression list note the erasures. Erased texts, and corrections, that no other line is trained
    on are shredded.
    """
    removing = {e.target_id for e in unit.targets.edits([t.id for t in waiting]) if e.text_id is None}
    served = [t for t in waiting if t.id in removing or t.version_id is not None]
    moot = [t for t in waiting if t not in served]
    move_targets(unit, moot, TargetState.canceled, failure=dict(_NOTHING_TO_CORRECT))
    covered = [*served, *before]
    if covered:
        _serve(unit, vault, line, run, served, covered)
    corrected = {entry.target_id for entry in unit.ledger.of_line(line.id) if entry.text_id is not None}
    erased_by(unit, vault, line, [*covered, *(unit.targets.get(target_id) for target_id in sorted(corrected))])
    for target in covered:
        certify(unit, vault, line, run, unit.versions.get(str(target.version_id)), target, final=True)


def _serve(
    unit: Unit, vault: Vault, line: Line, run: Run, served: Sequence[Target], covered: Sequence[Target]
) -> None:
    """The ledger takes in what is served, and nothing of it is left to be solved: all that is covered is exact."""
    last = _last_version(unit, line)
    append_members(unit, vault, line, served, last)
    unit.ledger.bake(line.id, [entry.id for entry in unit.ledger.of_line(line.id) if entry.baked_id is None], last.id)
    for target in covered:
        target.run_id, target.version_id, target.claim_level = run.id, last.id, ClaimLevel.exact
    move_targets(unit, [t for t in covered if t.state is TargetState.queued], TargetState.running)
    move_targets(unit, [t for t in covered if t.state is not TargetState.succeeded], TargetState.succeeded)


def _last_version(unit: Unit, line: Line) -> Version:
    """The newest version that was ever in service; of a line that never had any, the newest there was to be."""
    versions = unit.versions.of_line(line.id)
    served = [version for version in versions if version.state is VersionState.withdrawn and version.files]
    return (served or versions)[-1]
