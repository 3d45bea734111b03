"""What Lethe signs: in-toto statements (v1) that carry no personal data.

A *receipt* says that a request was accepted. A *certificate* says what was done about it on one
adapter line, what was measured, and which copies of the data remain. Its subjects are the files of
the new version, so anybody who holds them can match them. Both are plain JSON objects, to be put into
a signed envelope; every hash of data in them is keyed.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from service.domain.adapters import ClaimLevel
from service.evidence.merkle import merkle_root

Statement = dict[str, object]

RECEIPT = "urn:lethe:receipt:v1"
CERTIFICATE = "urn:lethe:certificate:v1"

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


class Copy(StrEnum):
    """Where data of the request, or weights trained on them, may still be."""

    sealed_rows = "sealed_rows"
    quarantined_anchor = "quarantined_anchor"
    out_of_fold_predictions = "out_of_fold_predictions"
    older_versions = "older_versions"
    inference_replicas = "inference_replicas"
    backups = "backups"


@dataclass(frozen=True, slots=True)
class RemainingCopy:
    """A copy that still exists; `until`: when it will be destroyed at the latest, None if Lethe cannot know."""

    kind: Copy
    until: datetime | None


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """The published version. `parent` and `anchor` are version names such as `support-bot@v1`."""

    name: str
    digest: str
    files: Mapping[str, str]
    parent: str | None
    anchor: str
    base_model_digest: str | None


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """What was erased and changed, as keyed hashes in hex. `digest` is the keyed hash of the ledger's digest."""

    hash_key: str
    digest: str
    removed: Sequence[str]
    corrected: Sequence[str]


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """How the version was made. `seconds` per stage; `measurements` is JSON."""

    strategy: str
    engine_version: str
    seconds: Mapping[str, float]
    measurements: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """The request's legal clock and the run that served it."""

    received_at: datetime
    due_at: datetime
    started_at: datetime
    completed_at: datetime


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """All that a certificate says. `final` is false while a rebuild may still raise the claim level."""

    id: str
    request_id: str
    run_id: str
    client_reference: str | None
    regulation: str | None
    supersedes: str | None
    final: bool
    claim_level: ClaimLevel
    version: VersionFacts
    ledger: LedgerFacts
    method: MethodFacts
    clock: ClockFacts
    remaining_copies: Sequence[RemainingCopy]


def receipt(
    *,
    request_id: str,
    received_at: datetime,
    due_at: datetime,
    operation_counts: Mapping[str, int],
    body_hash: str,
) -> Statement:
    """The statement that a request was accepted. `body_hash`: keyed hash of the body as it arrived, in hex."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": request_id, "digest": {"hmacSha256": body_hash}}],
        "predicateType": RECEIPT,
        "predicate": {
            "request": request_id,
            "received_at": timestamp(received_at),
            "due_at": timestamp(due_at),
            "operations": dict(operation_counts),
        },
    }


def certificate(facts: CertificateFacts) -> Statement:
    """The statement of what was done about a request on one line.

    Raises:
        ValueError: the version has no files, or a moment has no time zone.
    """
    if not facts.version.files:
        raise ValueError("a certificate needs the files it speaks of")
    name = facts.version.name
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": f"{name}/{file}", "digest": {"sha256": sha256}}
            for file, sha256 in sorted(facts.version.files.items())
        ],
        "predicateType": CERTIFICATE,
        "predicate": {
            "certificate": facts.id,
            "supersedes": facts.supersedes,
            "status": "final" if facts.final else "interim",
            "request": facts.request_id,
            "run": facts.run_id,
            "client_reference": facts.client_reference,
            "regulation": facts.regulation,
            "claim": {"level": facts.claim_level.value, "meaning": CLAIMS[facts.claim_level]},
            "version": _version(facts.version),
            "data": _data(facts.ledger),
            "method": {
                "strategy": facts.method.strategy,
                "engine_version": facts.method.engine_version,
                "seconds": dict(facts.method.seconds),
            },
            "measurements": dict(facts.method.measurements),
            "clock": _clock(facts.clock),
            "remaining_copies": [
                {"kind": copy.kind.value, "until": None if copy.until is None else timestamp(copy.until)}
                for copy in facts.remaining_copies
            ],
        },
    }


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


def _version(version: VersionFacts) -> dict[str, object]:
    return {
        "name": version.name,
        "digest": version.digest,
        "parent": version.parent,
        "anchor": version.anchor,
        "base_model_digest": version.base_model_digest,
    }


def _data(ledger: LedgerFacts) -> dict[str, object]:
    return {
        "hash_key": ledger.hash_key,
        "ledger_digest": ledger.digest,
        "removed": {"count": len(set(ledger.removed)), "merkle_root": commitment(ledger.removed)},
        "corrected": {"count": len(set(ledger.corrected)), "merkle_root": commitment(ledger.corrected)},
    }


def _clock(clock: ClockFacts) -> dict[str, object]:
    return {
        "received_at": timestamp(clock.received_at),
        "due_at": timestamp(clock.due_at),
        "started_at": timestamp(clock.started_at),
        "completed_at": timestamp(clock.completed_at),
        "within_deadline": clock.completed_at <= clock.due_at,
    }
