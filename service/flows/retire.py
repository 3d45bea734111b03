"""Take a line out of service for good: its last training data are to be forgotten."""

from collections.abc import Sequence

from service.domain.adapters import ClaimLevel
from service.domain.runs import Lane
from service.domain.states import RunState, TargetState, VersionState
from service.flows.append import append_members
from service.flows.erase import erased_by
from service.flows.progress import move_targets
from service.flows.trees import shred_derived
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import Line, Run, Target, Version


def retire(unit: Unit, line: Line, *, actor: str) -> None:
    """Withdraw every version and alias. Derived data lose their keys; the reconciler deletes what bytes are left."""
    line.retired_at, line.rebuild_due_at = unit.now, None
    for alias in unit.lines.aliases(line.id):
        unit.lines.remove_alias(alias)
    for version in unit.versions.of_line(line.id, VersionState.ready, VersionState.quarantined):
        version.state, version.withdrawn_at = VersionState.withdrawn, unit.now
        unit.emit("version.withdrawn", adapter=line.name, version=version.number, digest=version.digest)
    line.anchor_id = line.head_id = None
    shred_derived(unit, line)
    for lane in Lane:
        for run in (unit.runs.queued(line.id, lane), unit.runs.running(line.id, lane)):
            if run is not None:
                # The fence turns away a worker that is still at it.
                run.state, run.finished_at, run.fence = RunState.canceled, unit.now, run.fence + 1
    unit.audit(actor, "adapter.retired", adapter=line.name)
    unit.emit("adapter.retired", adapter=line.name)
    unit.session.flush()


def retire_emptied(unit: Unit, vault: Vault, line: Line, run: Run, members: Sequence[Target], last: Version) -> None:
    """The members remove all that the line was trained on: nothing remains to be served, which is exact.

    So is what was answered before them. The ledger and the suppression list note the erasure, and the
    texts of all are shredded. There is no new
    version, so there is none to certify: the feed's tombstones and the audit chain are the evidence.
    """
    tail_before = unit.ledger.targets_with_tail(line.id)
    append_members(unit, vault, line, members, last)
    tail = [entry.id for entry in unit.ledger.of_line(line.id) if entry.baked_id is None]
    unit.ledger.bake(line.id, tail, last.id)
    for target in members:
        target.run_id, target.claim_level, target.version_id = run.id, ClaimLevel.exact, last.id
    move_targets(unit, members, TargetState.running)
    move_targets(unit, members, TargetState.succeeded)
    earlier = [unit.targets.get(target_id) for target_id in sorted(tail_before)]
    for target in earlier:
        target.claim_level, target.version_id = ClaimLevel.exact, last.id
    move_targets(unit, [t for t in earlier if t.state is not TargetState.succeeded], TargetState.succeeded)
    run.state, run.finished_at = RunState.succeeded, unit.now
    retire(unit, line, actor="lethe")
    erased_by(unit, vault, line, [*members, *earlier])
