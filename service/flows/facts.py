"""Gather what a certificate says from the database."""

from collections.abc import Mapping
from pathlib import PurePath

from service.domain.acceptance import Acceptance
from service.domain.adapters import ClaimLevel
from service.domain.ledger import digest
from service.domain.runs import RunKind
from service.domain.states import VersionState
from service.domain.version import ENGINE_VERSION, library_versions
from service.evidence.facts import (
    ActorFacts,
    AuditPin,
    BaseModelFacts,
    ClockFacts,
    DatasetFacts,
    Fate,
    LedgerFacts,
    MethodFacts,
    ReplicaFacts,
    Retirement,
    SupersededVersion,
    VersionFacts,
)
from service.flows import texts
from service.flows.strategy import policy_of
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import Line, Run, Target, UnlearningRequest, Version

MEASURED = ("before", "after", "retained_kl", "grade", "fidelity", "drift", "passed", "reasons")
"""Losses, distances and verdicts; timings and peaks are stated elsewhere."""

TESTS = ("paraphrases", "generation", "relearning", "quantised_artefact", "retrained_reference")
"""What no run tests unless its report says otherwise."""

_NOT_PART = "It is not part of this verification."
_BITWISE = (RunKind.train, RunKind.rebuild)


def version_facts(unit: Unit, line: Line, version: Version, target: Target) -> VersionFacts:
    parent, anchor = unit.versions.find(version.parent_id), unit.versions.find(version.anchor_id) or version
    return VersionFacts(
        name=f"{line.name}@v{version.number}",
        digest=version.digest,
        files={name: str(entry["sha256"]) for name, entry in (version.files or {}).items()},
        parent=None if parent is None else f"{line.name}@v{parent.number}",
        anchor=f"{line.name}@v{anchor.number}",
        base_model=BaseModelFacts(_model_id(line.base_path), line.base_revision, line.base_digest),
        superseded=_superseded(unit, line, version, target),
    )


def ledger_facts(unit: Unit, vault: Vault, version: Version, target: Target) -> LedgerFacts:
    edits = unit.targets.edits([target.id])
    hashed = {(e.text_id is None, vault.hashes.instance(e.dataset_id, e.instance_id)) for e in edits}
    # A correction whose text is gone came before a removal of the same instance: only that counts.
    news = unit.texts.many(edit.text_id for edit in edits if edit.text_id is not None)
    left = {text_id for text_id, row in news.items() if row.wrapped_key is not None}
    own = texts.edits(unit, vault, [(e.instance_id, e.text_id if e.text_id in left else None) for e in edits])
    dataset = unit.datasets.get(version.dataset_id)
    assert dataset is not None, "versions refer to existing datasets"
    return LedgerFacts(
        hash_key=vault.hashes.key_id,
        digest=vault.hashes.ledger(digest(own)),
        removed=sorted(value for gone, value in hashed if gone),
        corrected=sorted(value for gone, value in hashed if not gone),
        subjects=[op.subject_hash for op in unit.requests.operations(target.request_id) if op.subject_hash],
        dataset=DatasetFacts(dataset.id, dataset.digest, dataset.instance_count),
    )


def method_facts(line: Line, run: Run, version: Version) -> MethodFacts:
    if run.kind is RunKind.retire:
        return _retiring()
    measurements = version.measurements or {}
    return MethodFacts(
        strategy=str(run.kind),
        engine_version=ENGINE_VERSION,
        libraries=library_versions(),
        deterministic=run.kind in _BITWISE and version.kind in _BITWISE,
        parameters=_parameters(line, version, measurements),
        seconds=measurements.get("seconds", {}),
        measurements=_measured(measurements),
        not_run=_not_run(measurements),
    )


def _retiring() -> MethodFacts:
    return MethodFacts(
        strategy=RunKind.retire,
        engine_version=ENGINE_VERSION,
        libraries=library_versions(),
        deterministic=False,
        parameters={},
        seconds={},
        measurements={},
        not_run=dict.fromkeys(TESTS, "Nothing of the line is left to be tested."),
    )


def retirement_of(line: Line, run: Run) -> Retirement | None:
    """That the run took the line out of service, for good."""
    if run.kind is not RunKind.retire or line.retired_at is None:
        return None
    return Retirement(str(line.retired_by), line.retired_at, str(line.retired_reason))


def clock_facts(unit: Unit, request: UnlearningRequest, run: Run) -> ClockFacts:
    return ClockFacts(
        submitted_at=request.created_at,
        received_at=request.received_at,
        due_at=request.due_at,
        extended_until=None if request.extended_at is None else request.due_at,
        started_at=run.started_at or unit.now,
        completed_at=unit.now,
    )


def actor_facts(request: UnlearningRequest, run: Run) -> ActorFacts:
    return ActorFacts(submitted_by=request.created_by, approved_by=request.decided_by, executed_by=run.worker)


def acceptance_of(target: Target) -> Acceptance | None:
    """That a person let its outcome stand. What became exact since needs nobody to."""
    if target.acceptance is None or target.claim_level is ClaimLevel.exact:
        return None
    return Acceptance.model_validate(target.acceptance)


def audit_pin(unit: Unit) -> AuditPin:
    return AuditPin(*unit.feed.audit_pin())


def replica_facts(unit: Unit, line: Line, target: Target) -> list[ReplicaFacts]:
    """The line's inference replicas, and whether each was proven to serve a version that covers the target."""
    needed = unit.ledger.highest_seq(target.id)
    found = []
    for replica in unit.serving.replicas_for(line.id):
        server, version = unit.serving.target_of(replica), unit.versions.find(replica.proven_id)
        found.append(
            ReplicaFacts(
                id=replica.id,
                server=server.kind,
                version=None if version is None else f"{line.name}@v{version.number}",
                proven_at=replica.proven_at,
                covers=version is not None and needed is not None and version.ledger_seq >= needed,
            )
        )
    return found


def _model_id(path: str) -> str:
    """A Hub id as it is; of a directory only its name, because where it lies may name a person."""
    return PurePath(path).name if path.startswith(("/", ".", "~")) else path


def _superseded(unit: Unit, line: Line, version: Version, target: Target) -> list[SupersededVersion]:
    """Versions that do not cover the target, but for those that were gone before the request came.

    The version that is certified covers it, unless it is only the last one of a retired line.
    """
    needed = unit.ledger.highest_seq(target.id) or version.ledger_seq
    found = []
    for older in unit.versions.of_line(line.id, *_FATES):
        was_gone = older.withdrawn_at is not None and older.withdrawn_at < target.created_at
        if (older.id != version.id or line.retired_at is not None) and older.ledger_seq < needed and not was_gone:
            found.append(_fate(line, older, target))
    return found


_FATES = {
    VersionState.ready: Fate.in_service,
    VersionState.quarantined: Fate.quarantined,
    VersionState.withdrawn: Fate.withdrawn,
}


def _fate(line: Line, older: Version, target: Target) -> SupersededVersion:
    fate, at = _FATES[older.state], older.withdraw_at
    if fate is Fate.in_service and at is not None:
        fate = Fate.retained
    elif fate is Fate.quarantined:
        at = target.shred_by
    elif fate is Fate.withdrawn:
        at = older.withdrawn_at
    return SupersededVersion(f"{line.name}@v{older.number}", fate, at)


def _parameters(line: Line, version: Version, measurements: Mapping[str, object]) -> dict[str, object]:
    """Of an update its budget and grade, of a training its recipe."""
    if version.kind == RunKind.influence:
        return {"update_budget": policy_of(line).update_budget, "grade": measurements.get("grade")}
    return {"recipe": version.recipe}


def _measured(measurements: Mapping[str, object]) -> dict[str, object]:
    """Losses, distances, metrics and verdicts; timings and peaks are stated elsewhere.

    Of what was verified, not the distributions: of few instances they would tell each one's loss. A metric tells of
    single instances the worst alone.
    """
    told = {key: value for key, value in measurements.items() if key in MEASURED}
    verified = measurements.get("verified")
    if isinstance(verified, Mapping):
        told |= {"metrics": verified.get("measurements", []), "power": verified.get("power", [])}
    return told


def _not_run(measurements: Mapping[str, object]) -> Mapping[str, str]:
    verified = measurements.get("verified")
    if isinstance(verified, Mapping):
        return dict(verified.get("not_run", {}))
    return dict.fromkeys(TESTS, _NOT_PART)
