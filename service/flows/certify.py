"""Issue a certificate for one target: what was done, what was measured, which copies remain."""

from service.domain.adapters import ClaimLevel
from service.domain.ids import new_id
from service.domain.ledger import digest
from service.domain.states import VersionState
from service.domain.version import ENGINE_VERSION
from service.evidence.statements import (
    CertificateFacts,
    ClockFacts,
    Copy,
    LedgerFacts,
    MethodFacts,
    RemainingCopy,
    VersionFacts,
    certificate,
)
from service.flows.assemble import to_edits
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import Certificate, Line, Run, Target, UnlearningRequest, Version


def certify(
    unit: Unit, vault: Vault, line: Line, run: Run, version: Version, target: Target, *, final: bool
) -> Certificate:
    """Sign and record. A final certificate supersedes the interim one of the same target."""
    request = unit.requests.get(target.request_id)
    assert request is not None, "targets refer to existing requests"
    assert target.claim_level is not None, "only answered targets are certified"
    previous = unit.requests.newest_certificate(target.id)
    row = Certificate(
        id=new_id("cert"),
        request_id=request.id,
        target_id=target.id,
        run_id=run.id,
        version_id=version.id,
        claim_level=target.claim_level,
        final=final,
        supersedes=None if previous is None else previous.id,
        created_at=unit.now,
        envelope={},
    )
    facts = CertificateFacts(
        id=row.id,
        request_id=request.id,
        run_id=run.id,
        client_reference=request.client_reference,
        regulation=request.regulation,
        supersedes=row.supersedes,
        final=final,
        claim_level=target.claim_level,
        version=_version(unit, line, version),
        ledger=_ledger(unit, vault, target),
        method=MethodFacts(
            strategy=str(run.kind),
            engine_version=ENGINE_VERSION,
            seconds=(version.measurements or {}).get("seconds", {}),
            measurements=_measured(version),
        ),
        clock=_clock(unit, request, run),
        remaining_copies=_remaining(unit, line, target, exact=target.claim_level is ClaimLevel.exact),
    )
    row.envelope = vault.signer.envelope(certificate(facts))
    unit.requests.add(row)
    unit.audit("lethe", "certificate.issued", certificate=row.id, request=request.id, level=row.claim_level)
    unit.emit(
        "certificate.issued",
        adapter=line.name,
        request_id=request.id,
        certificate=row.id,
        claim_level=row.claim_level,
        final=final,
    )
    return row


def _version(unit: Unit, line: Line, version: Version) -> VersionFacts:
    parent = unit.versions.find(version.parent_id)
    anchor = unit.versions.get(str(version.anchor_id))
    return VersionFacts(
        name=f"{line.name}@v{version.number}",
        digest=str(version.digest),
        files={name: str(entry["sha256"]) for name, entry in (version.files or {}).items()},
        parent=None if parent is None else f"{line.name}@v{parent.number}",
        anchor=f"{line.name}@v{anchor.number}",
        base_model_digest=line.base_digest,
    )


def _ledger(unit: Unit, vault: Vault, target: Target) -> LedgerFacts:
    edits = unit.targets.edits([target.id])
    hashed = {(e.text_id is None, vault.hashes.instance(e.dataset_id, e.instance_id)) for e in edits}
    own = to_edits(unit, vault, [(edit.instance_id, edit.text_id) for edit in edits])
    return LedgerFacts(
        hash_key=vault.hashes.key_id,
        digest=vault.hashes.ledger(digest(own)),
        removed=sorted(value for gone, value in hashed if gone),
        corrected=sorted(value for gone, value in hashed if not gone),
    )


def _measured(version: Version) -> dict[str, object]:
    """Losses, distances and verdicts; timings and peaks are stated elsewhere."""
    kept = ("before", "after", "retained_kl", "grade", "fidelity", "drift", "passed", "reasons")
    return {key: value for key, value in (version.measurements or {}).items() if key in kept}


def _clock(unit: Unit, request: UnlearningRequest, run: Run) -> ClockFacts:
    return ClockFacts(
        received_at=request.received_at,
        due_at=request.due_at,
        started_at=run.started_at or unit.now,
        completed_at=unit.now,
    )


def _remaining(unit: Unit, line: Line, target: Target, *, exact: bool) -> list[RemainingCopy]:
    """Lethe knows its own copies; servers and backups it can only name."""
    copies = [RemainingCopy(Copy.inference_replicas, None), RemainingCopy(Copy.backups, None)]
    older = [v.withdraw_at for v in unit.versions.of_line(line.id, VersionState.ready) if v.withdraw_at is not None]
    if older:
        copies.insert(0, RemainingCopy(Copy.older_versions, max(older)))
    if not exact:
        anchor = unit.versions.find(line.anchor_id)
        if anchor is not None and anchor.out_of_fold:
            copies.insert(0, RemainingCopy(Copy.out_of_fold_predictions, target.shred_by))
        copies.insert(0, RemainingCopy(Copy.quarantined_anchor, target.shred_by))
        copies.insert(0, RemainingCopy(Copy.sealed_rows, target.shred_by))
    return copies
