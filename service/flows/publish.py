"""Publish what a run made, in one transaction that checks the fence.

Ledger entries, version, alias, targets, certificates, report, audit and events appear together or
not at all. A stale worker gets `Fenced` and changes nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from service.domain.adapters import reaches
from service.domain.claims import lowest
from service.domain.compaction import Compaction, CompactionReason, compaction_due, has_drifted
from service.domain.fidelity import judge
from service.domain.runs import RunKind
from service.domain.states import TargetState, VersionState
from service.flows.accept import is_accepted, still_short
from service.flows.append import append_members
from service.flows.certify import certify, is_final
from service.flows.claim import Claim
from service.flows.erase import erased_by
from service.flows.fail import ANCHOR_MOVED, escalate, hand_back
from service.flows.fence import fenced_run
from service.flows.finish import finish
from service.flows.fit import CODE as MISFIT
from service.flows.fit import misfit_of, spec_of
from service.flows.level import level_of_anchor, level_of_answer
from service.flows.new_version import put_into_service, reject, store_adapter, successor
from service.flows.progress import move_targets
from service.flows.roll_forward import unreplayed
from service.flows.schedule import shredding_begins
from service.flows.staged import StagedAnchor, StagedAnswer, anchor_measurements, answer_measurements, stored_probe
from service.flows.strategy import can_rebuild, policy_of
from service.flows.trees import keep_key, shred_derived
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import LedgerEntry, Line, Run, Target, Version


@dataclass(frozen=True, slots=True)
class TailMoved:
    """Requests were answered during the rebuild: solve the ledger up to `head` on the new anchor and try again."""

    head: int


def publish_first_anchor(unit: Unit, vault: Vault, claim: Claim, staged: StagedAnchor) -> None:
    """A trained or imported version becomes ready and the line's anchor.

    A training set that holds something erased meanwhile is refused, and so is an adapter that a server which was
    registered meanwhile cannot serve; the version is then `rejected`. Else it covers every earlier request of the
    line: exactly, if it was trained here.
    """
    run = fenced_run(unit, claim.run_id, claim.fence)
    line = unit.lines.lock(claim.line_id)
    version = unit.versions.get(str(run.version_id))
    if _was_overtaken(unit, line, run, version):
        _turn_down(unit, line, run, version, staged, _ERASED)
        return
    spec = spec_of(unit, version)
    misfit = None if spec is None else misfit_of(unit, line, spec)
    if misfit is not None:
        _turn_down(unit, line, run, version, staged, (MISFIT, misfit))
        return
    _become_anchor(unit, line, version, staged)
    store_adapter(version, staged.adapter)
    line.base_digest = line.base_digest or staged.result.base_digest
    unit.ledger.bake(line.id, [e.id for e in unit.ledger.of_line(line.id) if e.baked_id is None], version.id)
    put_into_service(unit, line, version, actor=str(run.worker))
    version.source = {**version.source, "expected_losses": None}
    _upgrade(unit, vault, line, run, version, [])
    _set_compaction(line, None)
    finish(unit, line, run, staged.result.seconds)


_ERASED = ("erased-meanwhile", "Data of this training set were erased meanwhile.")


def _turn_down(
    unit: Unit, line: Line, run: Run, version: Version, staged: StagedAnchor, reason: tuple[str, str]
) -> None:
    """Reject a finished version; what was made of it is swept."""
    store_adapter(version, staged.adapter)
    version.artefacts_prefix = staged.artefacts.prefix
    version.source = {**version.source, "expected_losses": None}
    code, detail = reason
    reject(unit, line, version, code=code, detail=detail)
    finish(unit, line, run, {})


def publish_answer(unit: Unit, vault: Vault, claim: Claim, staged: StagedAnswer) -> None:
    """An influence update becomes the line's next version, or escalates if it measurably failed.

    One that passed, but ended farther from a retrain than the policy allows, escalates to a rebuild. Where
    none is possible it is better than what is served now, so it is published, inconclusive, with the reason.
    What a person accepted is published whatever was measured. One that was solved from an anchor which is not the
    line's any more is solved again, at once.

    Raises:
        Fenced: stale claim.
    """
    run = fenced_run(unit, claim.run_id, claim.fence)
    line = unit.lines.lock(claim.line_id)
    if line.anchor_id != staged.anchor_id:
        hand_back(unit, run, reason=ANCHOR_MOVED, counts=False)
        return
    anchor = unit.versions.get(staged.anchor_id)
    judged = _judged(line, staged)
    run.report = answer_measurements(judged.result)
    members = unit.targets.of_run(run.id)
    escalates = judged.result.passed is False and (staged.result.passed is False or can_rebuild(anchor))
    if escalates and not is_accepted(members):
        escalate(unit, line, run, members, judged)
        finish(unit, line, run, staged.result.seconds)
        return
    version = _answer_version(unit, line, anchor, run, judged)
    entries = append_members(unit, vault, line, members, version)
    put_into_service(unit, line, version, actor=str(run.worker))
    _conclude(unit, vault, line, run, version, members, entries)
    _schedule_rebuild(unit, line, anchor, run, staged.result.drift)
    finish(unit, line, run, staged.result.seconds)


def publish_rebuild(
    unit: Unit, vault: Vault, claim: Claim, staged: StagedAnchor, answer: StagedAnswer | None
) -> TailMoved | None:
    """A rebuilt (or collapsed) anchor takes over, together with the tail re-solved on it.

    Returns TailMoved, having changed nothing, if requests were published that `answer` does not cover.
    """
    run = fenced_run(unit, claim.run_id, claim.fence)
    line = unit.lines.lock(claim.line_id)
    frozen = run.frozen_seq or 0
    solved = frozen if answer is None else answer.solved_seq
    if line.ledger_head != solved:
        return TailMoved(line.ledger_head)
    old = unit.versions.get(str(line.anchor_id))
    anchor = successor(unit, line, old, kind=claim.kind, run_id=run.id)
    if claim.kind is RunKind.collapse:
        anchor.recipe = None
    store_adapter(anchor, staged.adapter)
    unit.versions.add(anchor)
    members = unit.targets.of_run(run.id)
    open_ = [e for e in unit.ledger.of_line(line.id) if e.baked_id is None]
    entries = append_members(unit, vault, line, members, anchor, until=frozen)
    unit.ledger.bake(line.id, [e.id for e in (*_solved(open_, entries, frozen), *entries)], anchor.id)
    _become_anchor(unit, line, anchor, staged)
    if answer is None:
        put_into_service(unit, line, anchor, actor=str(run.worker))
        head = anchor
    else:
        anchor.state, anchor.ledger_seq = VersionState.quarantined, frozen
        head = _answer_version(unit, line, anchor, run, _judged(line, answer))
        put_into_service(unit, line, head, actor=str(run.worker))
    run.report = anchor_measurements(staged.result)
    _upgrade(unit, vault, line, run, head, members)
    _set_compaction(line, None)
    if answer is not None:
        _schedule_rebuild(unit, line, anchor, run, answer.result.drift)
    finish(unit, line, run, staged.result.seconds)
    return None


def _solved(open_: Sequence[LedgerEntry], members: Sequence[LedgerEntry], frozen: int) -> list[LedgerEntry]:
    """Of the open entries those that leave nothing to solve on the new anchor: it was trained with them, or without
    their instances, because `members` remove those too."""
    gone = {entry.instance_id for entry in members if entry.text_id is None}
    return [entry for entry in open_ if entry.seq <= frozen or entry.instance_id in gone]


def _was_overtaken(unit: Unit, line: Line, run: Run, version: Version) -> bool:
    """Whether the version was trained on what is to be forgotten by now. A roll-forward replays the ledger as it was
    when the run was claimed."""
    if _has_open_targets(unit, line):
        return True
    if version.source.get("rolls_forward"):
        return line.ledger_head != run.frozen_seq or bool(unreplayed(unit, line, version.dataset_id))
    return bool(unit.datasets.suppressed_count(version.dataset_id, line.id))


def _has_open_targets(unit: Unit, line: Line) -> bool:
    """Whether open requests select from an older anchor's dataset, which this training would not honour."""
    return line.anchor_id is not None and bool(unit.targets.open_of_line(line.id))


def _become_anchor(unit: Unit, line: Line, version: Version, staged: StagedAnchor) -> None:
    """The version's own derived data take the place of the older anchor's, whose keys are destroyed."""
    shred_derived(unit, line)
    keep_key(unit, line, staged.artefacts)
    version.artefacts_prefix, version.artefacts = staged.artefacts.prefix, dict(staged.artefacts.files)
    version.measurements = anchor_measurements(staged.result)
    version.capabilities = [asdict(capability) for capability in staged.result.capabilities]
    version.probe = stored_probe(staged.result)
    previous = unit.versions.find(line.anchor_id)
    version.anchor_id, line.anchor_id = version.id, version.id
    if previous is not None and previous.state is VersionState.quarantined:
        previous.state, previous.withdrawn_at = VersionState.withdrawn, unit.now


def _judged(line: Line, staged: StagedAnswer) -> StagedAnswer:
    return replace(staged, result=judge(staged.result, policy_of(line)))


def _answer_version(unit: Unit, line: Line, anchor: Version, run: Run, staged: StagedAnswer) -> Version:
    version = successor(unit, line, anchor, kind=RunKind.influence, run_id=run.id)
    version.anchor_id = anchor.id
    version.measurements = answer_measurements(staged.result)
    version.claim_level = level_of_answer(unit, line, anchor, staged.result)
    version.probe = stored_probe(staged.result)
    store_adapter(version, staged.adapter)
    unit.versions.add(version)
    return version


def _conclude(
    unit: Unit,
    vault: Vault,
    line: Line,
    run: Run,
    version: Version,
    members: Sequence[Target],
    entries: Sequence[LedgerEntry],
) -> None:
    """Give the members their claim level and certificate; finished if the policy, or a person, is content with it."""
    level = version.claim_level
    assert level is not None, "answers carry a claim level"
    measured, reached = version.measurements or {}, reaches(level, policy_of(line).complete_at)
    rebuildable = can_rebuild(unit.versions.get(str(version.anchor_id)))
    for target in members:
        target.version_id, target.claim_level = version.id, level
        target.acceptance = still_short(target, passed=measured.get("passed"), reached=reached)
        certify(unit, vault, line, run, version, target, final=False)
    if reached or is_accepted(members):
        move_targets(unit, members, TargetState.succeeded)
    elif rebuildable:
        move_targets(unit, members, TargetState.awaiting_rebuild)
    else:
        reasons = measured.get("reasons", ())
        move_targets(unit, members, TargetState.needs_attention, failure=_out_of_reach(reasons))


def _upgrade(unit: Unit, vault: Vault, line: Line, run: Run, head: Version, members: Sequence[Target]) -> None:
    """The last word on every target whose edits are all in the anchor: its claim, its certificate, its texts' end."""
    covered = [*members, *(t for t in _answered(unit, line) if not is_final(unit, t))]
    anchor = unit.versions.get(str(line.anchor_id))
    for target in covered:
        target.version_id = head.id
        target.claim_level = level_of_anchor(unit, line, anchor, run.kind, target)
    if covered and not unit.ledger.targets_with_tail(line.id):
        head.claim_level = lowest(target.claim_level for target in covered if target.claim_level is not None)
    _settle(unit, line, covered)
    erased_by(unit, vault, line, covered)
    for target in covered:
        certify(unit, vault, line, run, head, target, final=True)


def _answered(unit: Unit, line: Line) -> list[Target]:
    """Targets that were answered and have no edit left outside the anchor."""
    tail = unit.ledger.targets_with_tail(line.id)
    states = (TargetState.awaiting_rebuild, TargetState.succeeded, TargetState.needs_attention)
    found = unit.targets.in_state(line.id, states)
    return [target for target in found if target.version_id is not None and target.id not in tail]


def _settle(unit: Unit, line: Line, covered: Sequence[Target]) -> None:
    """Finish what has reached the policy's claim level; the rest cannot any more, now that its data are gone."""
    required = policy_of(line).complete_at
    open_ = [target for target in covered if target.state is not TargetState.succeeded]
    done = [t for t in open_ if t.claim_level is not None and reaches(t.claim_level, required)]
    move_targets(unit, done, TargetState.succeeded)
    stuck = [t for t in open_ if t not in done and t.state is not TargetState.needs_attention]
    move_targets(unit, stuck, TargetState.needs_attention, failure=_out_of_reach(()))


def _out_of_reach(reasons: Sequence[str]) -> dict[str, object]:
    detail = " ".join(("Only a rebuild reaches the policy's claim level.", *reasons))
    return {"code": "claim-out-of-reach", "detail": detail}


def _schedule_rebuild(unit: Unit, line: Line, anchor: Version, run: Run, drift: float | None) -> None:
    """Say when the ledger is to be compacted. `drift`: how far its newest update went from the predicted one."""
    policy, rebuildable = policy_of(line), can_rebuild(anchor)
    compaction = compaction_due(
        policy,
        now=unit.now,
        scheduled=_scheduled(line),
        shred_by=shredding_begins(unit, line),
        drift=drift,
        count=unit.ledger.tail_length(line.id),
        rebuildable=rebuildable,
    )
    _set_compaction(line, compaction)
    if rebuildable and has_drifted(drift, policy):
        limit = policy.max_drift
        unit.audit("lethe", "ledger.drifted", adapter=line.name, run=run.id, drift=drift, max_drift=limit)
        unit.emit("ledger.drifted", adapter=line.name, run_id=run.id, drift=drift, max_drift=limit)


def _scheduled(line: Line) -> Compaction | None:
    if line.rebuild_due_at is None:
        return None
    return Compaction(line.rebuild_due_at, line.rebuild_because or CompactionReason.age)


def _set_compaction(line: Line, compaction: Compaction | None) -> None:
    line.rebuild_due_at = None if compaction is None else compaction.due_at
    line.rebuild_because = None if compaction is None else compaction.because
