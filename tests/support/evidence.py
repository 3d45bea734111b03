"""Certificates without a deployment: fixed facts, and a fixed key."""

import hashlib
from datetime import UTC, datetime, timedelta

from service.domain.adapters import ClaimLevel
from service.domain.probes import ProbeOutcome
from service.domain.serving import Precision, ServerKind
from service.evidence.facts import (
    ActorFacts,
    AuditPin,
    BaseModelFacts,
    CertificateFacts,
    ClockFacts,
    Copy,
    DatasetFacts,
    DestroyedCopy,
    Fate,
    LedgerFacts,
    MethodFacts,
    RemainingCopy,
    RemovedAdapter,
    ReplicaFacts,
    SupersededVersion,
    SwapFacts,
    VersionFacts,
)
from service.evidence.keys import Signer

NOON = datetime(2025, 1, 31, 12, tzinfo=UTC)
HASHES = [hashlib.sha256(text).hexdigest() for text in (b"a", b"b", b"c")]
FILES = {"adapter_model.safetensors": b"a", "adapter_config.json": b"b"}
# The secret key of RFC 8032, section 7.1, test 1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")


def fixed_signer() -> Signer:
    return Signer.from_bytes(SEED)


def certificate_facts() -> CertificateFacts:
    """A final certificate of an exact rebuild. Its files' contents are FILES."""
    return CertificateFacts(
        id="cert_2",
        issued_at=NOON + timedelta(minutes=2),
        request_id="req_1",
        run_id="run_1",
        client_reference="ticket-7",
        regulation="gdpr",
        supersedes="cert_1",
        final=True,
        claim_level=ClaimLevel.exact,
        version=VersionFacts(
            name="support-bot@v3",
            digest="sha256:00",
            files={"adapter_model.safetensors": HASHES[0], "adapter_config.json": HASHES[1]},
            parent="support-bot@v2",
            anchor="support-bot@v3",
            base_model=BaseModelFacts("org/base", "main", "sha256:11"),
            superseded=[
                SupersededVersion("support-bot@v1", Fate.withdrawn, NOON + timedelta(minutes=1)),
                SupersededVersion("support-bot@v2", Fate.retained, NOON + timedelta(days=1)),
            ],
        ),
        ledger=LedgerFacts(
            hash_key="h1-00000000",
            digest=HASHES[2],
            removed=HASHES[:2],
            corrected=(),
            subjects=[HASHES[2], HASHES[2]],
            dataset=DatasetFacts("ds_1", HASHES[0], 360),
        ),
        method=MethodFacts(
            strategy="rebuild",
            engine_version="0.1.0",
            libraries={"torch": "2.13.0"},
            deterministic=True,
            parameters={"recipe": {"epochs": 2}},
            seconds={"training": 61.5},
            measurements={"before": {"forget": 0.1}, "after": {"forget": None, "retained": 0.2}},
            not_run={"relearning": "It is not part of this verification."},
        ),
        clock=ClockFacts(
            submitted_at=NOON,
            received_at=NOON,
            due_at=NOON + timedelta(days=28),
            extended_until=None,
            started_at=NOON,
            completed_at=NOON + timedelta(minutes=2),
        ),
        actors=ActorFacts("key_1", None, "worker-1"),
        audit=AuditPin(7, HASHES[0]),
        remaining_copies=[
            RemainingCopy(Copy.older_versions, NOON + timedelta(days=1)),
            RemainingCopy(Copy.backups, None),
        ],
        destroyed_copies=[DestroyedCopy(Copy.sealed_rows, NOON + timedelta(minutes=2))],
        replicas=[
            ReplicaFacts("rep_1", ServerKind.vllm, "support-bot@v2", NOON + timedelta(minutes=1), covers=True),
            ReplicaFacts("rep_2", ServerKind.sglang, None, None, covers=False),
        ],
    )


def swap_facts() -> SwapFacts:
    """A replica that serves a version whose files' contents are FILES."""
    return SwapFacts(
        id="swap_1",
        issued_at=NOON + timedelta(minutes=3),
        target_id="srv_1",
        replica_id="rep_1",
        server=ServerKind.vllm,
        version="support-bot@v3",
        digest="sha256:00",
        files={"adapter_model.safetensors": HASHES[0], "adapter_config.json": HASHES[1]},
        desired_at=NOON + timedelta(minutes=2),
        outcome=ProbeOutcome.proven,
        distances={"version": 0.001, "base": 1.5, "previous": 0.4},
        precision=Precision.bfloat16,
        removed=[RemovedAdapter("support-bot@v1", False), RemovedAdapter("support-bot@v2", True)],
    )
