import hashlib
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from service.domain.acceptance import Acceptance, Shortfall
from service.domain.adapters import ClaimLevel
from service.evidence import dsse
from service.evidence.audit import Head
from service.evidence.facts import ActorFacts, CertificateFacts, Retirement
from service.evidence.keys import STATEMENT_TYPE, Signer, jwks, public_keys
from service.evidence.merkle import merkle_root
from service.evidence.statements import (
    CLAIMS,
    FAILED,
    RETIRED,
    SWAP_RECEIPT,
    audit_head,
    certificate,
    commitment,
    receipt,
    swap_receipt,
    timestamp,
)
from tests.support.evidence import HASHES, NOON, certificate_facts, swap_facts


@pytest.fixture
def facts() -> CertificateFacts:
    return certificate_facts()


def predicate(statement: dict[str, object]) -> dict[str, Any]:
    found = statement["predicate"]
    assert isinstance(found, dict)
    return found


def test_a_receipt_says_that_and_until_when_and_nothing_about_whom() -> None:
    statement = receipt(
        request_id="req_1",
        issued_at=NOON + timedelta(seconds=1),
        received_at=NOON,
        due_at=NOON + timedelta(days=28),
        operation_counts={"remove": 2, "correct_response": 1},
        body_hash=HASHES[0],
    )

    assert statement == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "req_1", "digest": {"hmacSha256": HASHES[0]}}],
        "predicateType": "urn:lethe:receipt:v1",
        "predicate": {
            "request": "req_1",
            "issued_at": "2025-01-31T12:00:01.000Z",
            "received_at": "2025-01-31T12:00:00.000Z",
            "due_at": "2025-02-28T12:00:00.000Z",
            "operations": {"remove": 2, "correct_response": 1},
        },
    }


def test_a_certificates_subjects_are_the_files_of_the_version(facts: CertificateFacts) -> None:
    statement = certificate(facts)

    assert statement["subject"] == [
        {"name": "support-bot@v3/adapter_config.json", "digest": {"sha256": HASHES[1]}},
        {"name": "support-bot@v3/adapter_model.safetensors", "digest": {"sha256": HASHES[0]}},
    ]
    with pytest.raises(ValueError, match="files"):
        certificate(replace(facts, version=replace(facts.version, files={})))


def test_a_certificate_counts_what_was_removed_and_commits_to_it(facts: CertificateFacts) -> None:
    data = predicate(certificate(facts))["data"]

    assert data["hash_key"] == "h1-00000000"
    assert data["removed"] == {"count": 2, "merkle_root": commitment(HASHES[:2])}
    assert data["corrected"] == {"count": 0, "merkle_root": hashlib.sha256(b"").hexdigest()}


def test_a_commitment_does_not_depend_on_the_order_of_requests() -> None:
    leaves = sorted(bytes.fromhex(value) for value in HASHES)

    assert commitment(HASHES) == commitment([*reversed(HASHES), HASHES[0]]) == merkle_root(leaves).hex()
    assert commitment(HASHES) != commitment(HASHES[:2])


@pytest.mark.parametrize(("final", "status"), [(True, "final"), (False, "interim")])
def test_a_certificate_says_whether_it_is_the_last_word(facts: CertificateFacts, final: bool, status: str) -> None:
    said = predicate(certificate(replace(facts, final=final)))

    assert (said["status"], said["supersedes"]) == (status, "cert_1")


@pytest.mark.parametrize("level", ClaimLevel)
def test_every_claim_level_is_explained_and_none_promises_too_much(facts: CertificateFacts, level: ClaimLevel) -> None:
    text = json.dumps(certificate(replace(facts, claim_level=level))).lower()

    assert predicate(certificate(replace(facts, claim_level=level)))["claim"] == {
        "level": level.value,
        "meaning": CLAIMS[level],
    }
    assert not any(word in text for word in ("guarantee", "compliant", "anonymised", "anonymous"))


@pytest.mark.parametrize("shortfall", Shortfall)
def test_an_accepted_outcome_is_told_with_who_and_why_and_raises_no_claim(
    facts: CertificateFacts, shortfall: Shortfall
) -> None:
    acceptance = Acceptance(by="key_9", at=NOON, shortfall=shortfall, reason="Three greetings.")
    said = predicate(certificate(replace(facts, claim_level=ClaimLevel.inconclusive, acceptance=acceptance)))

    assert said["accepted"] == {
        "by": "key_9",
        "at": "2025-01-31T12:00:00.000Z",
        "shortfall": shortfall.value,
        "reason": "Three greetings.",
    }
    assert said["claim"]["level"] == "I"
    assert (said["claim"]["meaning"] == FAILED) is (shortfall is Shortfall.failed)
    assert predicate(certificate(facts))["accepted"] is None


def test_of_a_retired_line_it_says_that_nothing_of_it_is_served(facts: CertificateFacts) -> None:
    ended = replace(facts, retirement=Retirement("key_9", NOON, "Discontinued."))
    said = predicate(certificate(ended))

    assert said["retired"] == {"by": "key_9", "at": "2025-01-31T12:00:00.000Z", "reason": "Discontinued."}
    assert said["claim"]["meaning"] == RETIRED
    assert certificate(ended)["subject"] == certificate(facts)["subject"]
    assert predicate(certificate(facts))["retired"] is None


def test_a_line_that_never_had_a_version_is_named_by_what_was_asked_of_it(facts: CertificateFacts) -> None:
    version = replace(facts.version, files={}, digest=None)
    ended = replace(facts, version=version, retirement=Retirement("key_9", NOON, "Discontinued."))

    assert certificate(ended)["subject"] == [{"name": "req_1", "digest": {"hmacSha256": HASHES[2]}}]


def test_what_measurably_failed_is_not_said_to_be_undecided(facts: CertificateFacts) -> None:
    method = replace(facts.method, measurements={"passed": False})
    said = predicate(certificate(replace(facts, claim_level=ClaimLevel.inconclusive, method=method)))

    assert said["claim"]["meaning"] == FAILED


def test_a_certificate_lists_the_copies_that_remain(facts: CertificateFacts) -> None:
    assert predicate(certificate(facts))["remaining_copies"] == [
        {"kind": "older_versions", "until": "2025-02-01T12:00:00.000Z"},
        {"kind": "backups", "until": None},
    ]


def test_a_certificate_lists_the_copies_that_are_gone(facts: CertificateFacts) -> None:
    assert predicate(certificate(facts))["destroyed_copies"] == [
        {"kind": "sealed_rows", "destroyed_at": "2025-01-31T12:02:00.000Z"},
    ]


def test_a_certificate_says_which_replicas_had_swapped(facts: CertificateFacts) -> None:
    assert predicate(certificate(facts))["replicas"] == [
        {
            "replica": "rep_1",
            "server": "vllm",
            "version": "support-bot@v2",
            "proven_at": "2025-01-31T12:01:00.000Z",
            "covers_request": True,
        },
        {"replica": "rep_2", "server": "sglang", "version": None, "proven_at": None, "covers_request": False},
    ]


def test_a_swap_receipt_is_about_the_files_that_are_served() -> None:
    statement = swap_receipt(swap_facts())

    assert statement["predicateType"] == SWAP_RECEIPT
    assert statement["subject"] == [
        {"name": "support-bot@v3/adapter_config.json", "digest": {"sha256": HASHES[1]}},
        {"name": "support-bot@v3/adapter_model.safetensors", "digest": {"sha256": HASHES[0]}},
    ]
    assert predicate(statement) == {
        "receipt": "swap_1",
        "issued_at": "2025-01-31T12:03:00.000Z",
        "target": "srv_1",
        "replica": "rep_1",
        "server": "vllm",
        "version": {"name": "support-bot@v3", "digest": "sha256:00"},
        "desired_at": "2025-01-31T12:02:00.000Z",
        "probe": {
            "outcome": "proven",
            "distances": {"version": 0.001, "base": 1.5, "previous": 0.4},
            "precision": "bfloat16",
        },
        "removed": [
            {"name": "support-bot@v1", "overwritten": False},
            {"name": "support-bot@v2", "overwritten": True},
        ],
    }


def test_a_certificate_says_whether_the_deadline_was_kept(facts: CertificateFacts) -> None:
    late = replace(facts.clock, completed_at=facts.clock.due_at + timedelta(milliseconds=1))
    just = replace(facts.clock, completed_at=facts.clock.due_at)

    assert predicate(certificate(replace(facts, clock=late)))["clock"]["within_deadline"] is False
    assert predicate(certificate(replace(facts, clock=just)))["clock"]["within_deadline"] is True


def test_a_certificate_names_who_acted_how_and_on_what(facts: CertificateFacts) -> None:
    said = predicate(certificate(replace(facts, actors=ActorFacts("key_1", "key_2", None))))

    assert said["actors"] == {"submitted_by": "key_1", "approved_by": "key_2", "executed_by": None}
    assert said["method"] == {
        "strategy": "rebuild",
        "engine_version": "0.1.0",
        "libraries": {"torch": "2.13.0"},
        "deterministic": True,
        "parameters": {"recipe": {"epochs": 2}},
        "seconds": {"training": 61.5},
    }
    assert said["tests_not_run"] == {"relearning": "It is not part of this verification."}
    assert said["version"]["base_model"] == {"id": "org/base", "revision": "main", "digest": "sha256:11"}
    assert said["data"]["dataset"] == {"id": "ds_1", "digest": HASHES[0], "instances": 360}
    assert said["data"]["subjects"] == [HASHES[2]]


def test_a_certificate_tells_what_becomes_of_the_versions_before(facts: CertificateFacts) -> None:
    assert predicate(certificate(facts))["version"]["superseded"] == [
        {"name": "support-bot@v1", "fate": "withdrawn", "at": "2025-01-31T12:01:00.000Z"},
        {"name": "support-bot@v2", "fate": "retained", "at": "2025-02-01T12:00:00.000Z"},
    ]


def test_a_certificate_pins_the_audit_chain(facts: CertificateFacts) -> None:
    said = predicate(certificate(facts))

    assert said["audit"] == {"seq": 7, "hash": HASHES[0]}
    assert said["issued_at"] == "2025-01-31T12:02:00.000Z"


def test_a_moved_due_date_is_named(facts: CertificateFacts) -> None:
    moved = replace(facts.clock, extended_until=facts.clock.due_at)

    assert predicate(certificate(facts))["clock"]["extended_until"] is None
    assert predicate(certificate(replace(facts, clock=moved)))["clock"]["extended_until"] == "2025-02-28T12:00:00.000Z"


def test_an_audit_head_names_the_newest_row() -> None:
    assert audit_head(Head(6, 7, HASHES[0]), issued_at=NOON) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "audit", "digest": {"sha256": HASHES[0]}}],
        "predicateType": "urn:lethe:audit-head:v1",
        "predicate": {"issued_at": "2025-01-31T12:00:00.000Z", "position": 6, "seq": 7, "hash": HASHES[0]},
    }


def test_measurements_that_are_not_numbers_cannot_be_signed(facts: CertificateFacts) -> None:
    broken = replace(facts, method=replace(facts.method, measurements={"retained_kl": float("nan")}))

    with pytest.raises(ValueError, match="JSON"):
        Signer.generate().envelope(certificate(broken))


def test_a_certificate_verifies_offline_with_the_published_keys(facts: CertificateFacts) -> None:
    signer = Signer.generate()
    envelope = json.loads(json.dumps(signer.envelope(certificate(facts))))

    payload = dsse.verify(envelope, payload_type=STATEMENT_TYPE, keys=public_keys(jwks([signer.jwk()])))

    assert json.loads(payload) == certificate(facts)


def test_moments_are_written_in_utc_and_need_a_time_zone() -> None:
    assert timestamp(datetime(2025, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2024-12-31T23:00:00.000Z"
    with pytest.raises(ValueError, match="time zone"):
        timestamp(datetime(2025, 1, 1))  # noqa: DTZ001
