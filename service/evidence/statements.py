"""What Lethe signs: in-toto statements (v1) that carry no personal data.

A *receipt* says that a request was accepted, a *refusal* that it was denied and why. A *certificate*
says what was done about it on one adapter line, what was measured, and which copies of the data
remain. Its subjects are the files of the new version, so anybody who holds them can match them. A
*swap receipt* says that an inference replica answers like a version, whose files are its subjects.
An *audit head* names the newest row of the audit chain.
All are plain JSON objects, to be put into a signed envelope; every hash of data in them is keyed.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from service.domain.acceptance import Acceptance, Shortfall
from service.domain.adapters import ClaimLevel
from service.domain.decisions import MEANINGS, RejectionCode
from service.evidence.audit import Head
from service.evidence.facts import (
    CertificateFacts,
    ClockFacts,
    LedgerFacts,
    MethodFacts,
    Retirement,
    SupersededVersion,
    SwapFacts,
    VersionFacts,
)
from service.evidence.merkle import merkle_root

Statement = dict[str, object]

STATEMENT = "https://in-toto.io/Statement/v1"
RECEIPT = "urn:lethe:receipt:v1"
REFUSAL = "urn:lethe:refusal:v1"
CERTIFICATE = "urn:lethe:certificate:v1"
AUDIT_HEAD = "urn:lethe:audit-head:v1"
SWAP_RECEIPT = "urn:lethe:swap-receipt:v1"

CLAIMS: Mapping[ClaimLevel, str] = {
    ClaimLevel.exact: "The adapter was retrained by its recorded recipe on data without the removed instances and "
    "with the corrected ones.",
    ClaimLevel.calibrated: "The adapter was updated approximately and agrees with retrained reference adapters "
    "within the measured tolerance.",
    ClaimLevel.measured: "The adapter was updated approximately and passed the listed measurements. "
    "It was not compared with a retrained adapter.",
    ClaimLevel.inconclusive: "The adapter was updated approximately. The listed measurements cannot tell whether "
    "the update sufficed.",
}
RETIRED = (
    "The adapter line was retired: all its versions were withdrawn, and the keys to what was derived from its "
    "training data were destroyed. Nothing that learnt the data is served any more."
)
FAILED = (
    "The adapter was updated approximately and failed the listed measurements: they show that the update did not "
    "suffice."
)


def receipt(
    *,
    request_id: str,
    issued_at: datetime,
    received_at: datetime,
    due_at: datetime,
    operation_counts: Mapping[str, int],
    body_hash: str,
) -> Statement:
    """The statement that a request was accepted. `body_hash`: keyed hash of the body as it arrived, in hex."""
    return _statement(
        RECEIPT,
        [{"name": request_id, "digest": {"hmacSha256": body_hash}}],
        {
            "request": request_id,
            "issued_at": timestamp(issued_at),
            "received_at": timestamp(received_at),
            "due_at": timestamp(due_at),
            "operations": dict(operation_counts),
        },
    )


def refusal(
    *,
    request_id: str,
    subject: Sequence[Mapping[str, object]],
    issued_at: datetime,
    received_at: datetime,
    due_at: datetime,
    regulation: str | None,
    client_reference: str | None,
    operation_counts: Mapping[str, int],
    code: RejectionCode,
    refused_by: str,
) -> Statement:
    """The statement that a request was refused, and why. `subject`: that of its receipt."""
    return _statement(
        REFUSAL,
        [dict(one) for one in subject],
        {
            "request": request_id,
            "client_reference": client_reference,
            "regulation": regulation,
            "issued_at": timestamp(issued_at),
            "received_at": timestamp(received_at),
            "due_at": timestamp(due_at),
            "within_deadline": issued_at <= due_at,
            "operations": dict(operation_counts),
            "reason": {"code": code.value, "meaning": MEANINGS[code]},
            "refused_by": refused_by,
        },
    )


def audit_head(head: Head, *, issued_at: datetime) -> Statement:
    """The statement that the audit chain ends here now."""
    return _statement(
        AUDIT_HEAD,
        [{"name": "audit", "digest": {"sha256": head.hash}}],
        {"issued_at": timestamp(issued_at), "position": head.position, "seq": head.seq, "hash": head.hash},
    )


def certificate(facts: CertificateFacts) -> Statement:
    """The statement of what was done about a request on one line.

    Raises:
        ValueError: the version has no files, and its line is not retired; or a moment has no time zone.
    """
    return _statement(
        CERTIFICATE,
        _subjects(facts),
        {
            "certificate": facts.id,
            "issued_at": timestamp(facts.issued_at),
            "supersedes": facts.supersedes,
            "status": "final" if facts.final else "interim",
            "request": facts.request_id,
            "run": facts.run_id,
            "client_reference": facts.client_reference,
            "regulation": facts.regulation,
            "claim": {"level": facts.claim_level.value, "meaning": _meaning(facts)},
            "accepted": _accepted(facts.acceptance),
            "retired": _retired(facts.retirement),
            "version": _version(facts.version),
            "data": _data(facts.ledger),
            "method": _method(facts.method),
            "measurements": dict(facts.method.measurements),
            "tests_not_run": dict(facts.method.not_run),
            "clock": _clock(facts.clock),
            "actors": {
                "submitted_by": facts.actors.submitted_by,
                "approved_by": facts.actors.approved_by,
                "executed_by": facts.actors.executed_by,
            },
            "remaining_copies": [
                {"kind": copy.kind.value, "until": _optional(copy.until)} for copy in facts.remaining_copies
            ],
            "destroyed_copies": [
                {"kind": copy.kind.value, "destroyed_at": timestamp(copy.at)} for copy in facts.destroyed_copies
            ],
            "replicas": [
                {
                    "replica": replica.id,
                    "server": replica.server.value,
                    "version": replica.version,
                    "proven_at": _optional(replica.proven_at),
                    "covers_request": replica.covers,
                }
                for replica in facts.replicas
            ],
            "audit": {"seq": facts.audit.seq, "hash": facts.audit.hash},
        },
    )


def swap_receipt(facts: SwapFacts) -> Statement:
    """The statement that a replica answers like a version, and what was unloaded there before."""
    return _statement(
        SWAP_RECEIPT,
        _files(facts.version, facts.files),
        {
            "receipt": facts.id,
            "issued_at": timestamp(facts.issued_at),
            "target": facts.target_id,
            "replica": facts.replica_id,
            "server": facts.server.value,
            "version": {"name": facts.version, "digest": facts.digest},
            "desired_at": timestamp(facts.desired_at),
            "probe": {
                "outcome": facts.outcome.value,
                "distances": dict(facts.distances),
                "precision": facts.precision.value,
            },
            "removed": [{"name": one.name, "overwritten": one.overwritten} for one in facts.removed],
        },
    )


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond.

    Raises:
        ValueError: the moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def commitment(hashes: Sequence[str]) -> str:
    """Merkle root, in hex, of the sorted set of keyed hashes: leaves are the 32-byte hashes (RFC 6962)."""
    return merkle_root(sorted({bytes.fromhex(value) for value in hashes})).hex()


def _statement(predicate_type: str, subjects: list[dict[str, object]], predicate: dict[str, object]) -> Statement:
    return {"_type": STATEMENT, "subject": subjects, "predicateType": predicate_type, "predicate": predicate}


def _files(name: str, files: Mapping[str, str]) -> list[dict[str, object]]:
    """A version's files as subjects: `support-bot@v2/adapter_config.json`."""
    return [{"name": f"{name}/{file}", "digest": {"sha256": sha256}} for file, sha256 in sorted(files.items())]


def _subjects(facts: CertificateFacts) -> list[dict[str, object]]:
    """The version's files. A retired line may never have had any: then what was asked for, by its keyed hash."""
    if not facts.version.files and facts.retirement is None:
        raise ValueError("a certificate needs the files it speaks of")
    if not facts.version.files:
        return [{"name": facts.request_id, "digest": {"hmacSha256": facts.ledger.digest}}]
    return _files(facts.version.name, facts.version.files)


def _meaning(facts: CertificateFacts) -> str:
    if facts.retirement is not None:
        return RETIRED
    accepted = facts.acceptance is not None and facts.acceptance.shortfall is Shortfall.failed
    if facts.claim_level is ClaimLevel.inconclusive and (accepted or facts.method.measurements.get("passed") is False):
        return FAILED
    return CLAIMS[facts.claim_level]


def _accepted(acceptance: Acceptance | None) -> dict[str, object] | None:
    if acceptance is None:
        return None
    return {
        "by": acceptance.by,
        "at": timestamp(acceptance.at),
        "shortfall": acceptance.shortfall.value,
        "reason": acceptance.reason,
    }


def _retired(retirement: Retirement | None) -> dict[str, object] | None:
    if retirement is None:
        return None
    return {"by": retirement.by, "at": timestamp(retirement.at), "reason": retirement.reason}


def _version(version: VersionFacts) -> dict[str, object]:
    base = version.base_model
    return {
        "name": version.name,
        "digest": version.digest,
        "parent": version.parent,
        "anchor": version.anchor,
        "base_model": {"id": base.id, "revision": base.revision, "digest": base.digest},
        "superseded": [_superseded(older) for older in version.superseded],
    }


def _superseded(version: SupersededVersion) -> dict[str, object]:
    return {"name": version.name, "fate": version.fate.value, "at": _optional(version.at)}


def _data(ledger: LedgerFacts) -> dict[str, object]:
    dataset = ledger.dataset
    return {
        "hash_key": ledger.hash_key,
        "dataset": {"id": dataset.id, "digest": dataset.digest, "instances": dataset.instance_count},
        "ledger_digest": ledger.digest,
        "subjects": sorted(set(ledger.subjects)),
        "removed": {"count": len(set(ledger.removed)), "merkle_root": commitment(ledger.removed)},
        "corrected": {"count": len(set(ledger.corrected)), "merkle_root": commitment(ledger.corrected)},
    }


def _method(method: MethodFacts) -> dict[str, object]:
    return {
        "strategy": method.strategy,
        "engine_version": method.engine_version,
        "libraries": dict(method.libraries),
        "deterministic": method.deterministic,
        "parameters": dict(method.parameters),
        "seconds": dict(method.seconds),
    }


def _clock(clock: ClockFacts) -> dict[str, object]:
    return {
        "submitted_at": timestamp(clock.submitted_at),
        "received_at": timestamp(clock.received_at),
        "due_at": timestamp(clock.due_at),
        "extended_until": _optional(clock.extended_until),
        "started_at": timestamp(clock.started_at),
        "completed_at": timestamp(clock.completed_at),
        "within_deadline": clock.completed_at <= clock.due_at,
    }


def _optional(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
