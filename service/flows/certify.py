"""Issue a certificate for one target: what was done, what was measured, which copies remain."""

import base64
import hashlib

from service.domain.ids import new_id
from service.evidence.facts import CertificateFacts
from service.evidence.statements import certificate
from service.flows import facts
from service.flows.copies import destroyed_copies, remaining_copies
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
    statement = certificate(_facts(unit, vault, line, run, version, target, request, row))
    row.envelope = vault.signer(unit).envelope(statement)
    unit.requests.add(row)
    _announce(unit, line, row)
    return row


def is_final(unit: Unit, target: Target) -> bool:
    """Whether the last word on a target was signed."""
    newest = unit.requests.newest_certificate(target.id)
    return newest is not None and newest.final


def _facts(
    unit: Unit,
    vault: Vault,
    line: Line,
    run: Run,
    version: Version,
    target: Target,
    request: UnlearningRequest,
    row: Certificate,
) -> CertificateFacts:
    return CertificateFacts(
        id=row.id,
        issued_at=row.created_at,
        request_id=request.id,
        run_id=run.id,
        client_reference=request.client_reference,
        regulation=request.regulation,
        supersedes=row.supersedes,
        final=row.final,
        claim_level=row.claim_level,
        version=facts.version_facts(unit, line, version, target),
        ledger=facts.ledger_facts(unit, vault, version, target),
        method=facts.method_facts(line, run, version),
        clock=facts.clock_facts(unit, request, run),
        actors=facts.actor_facts(request, run),
        acceptance=facts.acceptance_of(target),
        retirement=facts.retirement_of(line, run),
        audit=facts.audit_pin(unit),
        remaining_copies=remaining_copies(unit, line, target),
        destroyed_copies=destroyed_copies(unit, line, target),
        replicas=facts.replica_facts(unit, line, target),
    )


def _announce(unit: Unit, line: Line, row: Certificate) -> None:
    """The audit row holds the statement's digest, so the chain tells what was really issued, and when."""
    payload = base64.b64decode(row.envelope["payload"])
    unit.audit(
        "lethe",
        "certificate.issued",
        certificate=row.id,
        request=row.request_id,
        level=row.claim_level,
        sha256=hashlib.sha256(payload).hexdigest(),
    )
    unit.emit(
        "certificate.issued",
        adapter=line.name,
        request_id=row.request_id,
        certificate=row.id,
        claim_level=row.claim_level,
        final=row.final,
    )
