"""Take a line out of service for good: its last training data are to be forgotten."""

from collections.abc import Sequence

from service.domain.adapters import ClaimLevel
from service.domain.states import RunState, TargetState, VersionState
from service.flows.progress import move_targets
from service.store.database import Unit
from service.store.tables import Line, Run, Target


def retire(unit: Unit, line: Line, *, actor: str) -> None:
    """Withdraw every version and alias. Bytes and artefacts are deleted by the reconciler."""
    line.retired_at, line.rebuild_due_at = unit.now, None
    for alias in unit.lines.aliases(line.id):
        unit.lines.remove_alias(alias)
    for version in unit.versions.of_line(line.id, VersionState.ready, VersionState.quarantined):
        version.state, version.withdrawn_at = VersionState.withdrawn, unit.now
        unit.emit("version.withdrawn", adapter=line.name, version=version.number, digest=version.digest)
    line.anchor_id = line.head_id = None
    unit.audit(actor, "adapter.retired", adapter=line.name)
    unit.emit("adapter.retired", adapter=line.name)


def retire_emptied(unit: Unit, line: Line, run: Run, members: Sequence[Target]) -> None:
    """The members remove all that the line was trained on: nothing remains to be served, which is exact."""
    for target in members:
        target.run_id, target.claim_level = run.id, ClaimLevel.exact
    move_targets(unit, members, TargetState.running)
    move_targets(unit, members, TargetState.succeeded)
    run.state, run.finished_at = RunState.succeeded, unit.now
    retire(unit, line, actor="lethe")
