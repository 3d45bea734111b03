"""What people are told a certificate says. Never more than was signed."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.acceptance import Acceptance, Shortfall
from service.domain.adapters import ClaimLevel
from service.domain.decisions import RejectionCode
from service.domain.probes import ProbeOutcome
from service.evidence.audit import Head
from service.evidence.facts import CertificateFacts, Copy, DestroyedCopy, RemainingCopy, RemovedAdapter, Retirement
from service.evidence.plain_words import (
    COPIES,
    Reading,
    read_audit_head,
    read_certificate,
    read_receipt,
    read_refusal,
    read_swap_receipt,
)
from service.evidence.statements import audit_head, certificate, receipt, refusal, swap_receipt
from tests.support.evidence import HASHES, NOON, certificate_facts, swap_facts


def read(facts: CertificateFacts) -> Reading:
    return read_certificate(certificate(facts)["predicate"])  # type: ignore[arg-type]


def text(reading: Reading) -> str:
    return "\n".join([*reading.claims, *reading.limits, *reading.remains, *reading.destroyed])


@pytest.mark.parametrize("level", ClaimLevel)
@pytest.mark.parametrize("final", [True, False])
def test_no_word_promises_what_nobody_can_keep(level: ClaimLevel, final: bool) -> None:
    facts = replace(certificate_facts(), claim_level=level, final=final)

    told = text(read(facts)).lower()

    assert not re.search(r"guarante|complian|anonymi[sz]|gdpr|certainly|impossible", told)


def test_the_level_is_explained_and_so_is_what_lies_beyond_it() -> None:
    reading = read(replace(certificate_facts(), claim_level=ClaimLevel.measured))

    assert any("Claim level M, measured:" in claim and "not compared" in claim for claim in reading.claims)
    assert any("as if it had never learnt" in limit for limit in reading.limits)
    assert not any("as if it had never learnt" in limit for limit in read(certificate_facts()).limits)


def test_interim_and_final() -> None:
    assert any("It is final" in claim for claim in read(certificate_facts()).claims)
    assert any("It is interim" in claim for claim in read(replace(certificate_facts(), final=False)).claims)


def test_the_deadline_kept_missed_and_extended() -> None:
    facts = certificate_facts()
    late = replace(facts.clock, completed_at=facts.clock.due_at + timedelta(days=1), extended_until=facts.clock.due_at)

    assert "within the deadline" in text(read(facts))
    assert "which was extended, and was answered on 2025-03-01T12:00:00.000Z: after the deadline" in text(
        read(replace(facts, clock=late))
    )


def test_a_person_who_accepted_a_failure_is_named_with_the_reason() -> None:
    acceptance = Acceptance(by="key_9", at=NOON, shortfall=Shortfall.failed, reason="Three greetings.")
    facts = replace(certificate_facts(), claim_level=ClaimLevel.inconclusive, acceptance=acceptance)

    reading = read(facts)

    (told,) = [claim for claim in reading.claims if "accepted" in claim]
    assert "key key_9, accepted this outcome on 2025-01-31T12:00:00.000Z, although the update failed" in told
    assert told.endswith("The reason given: Three greetings.")
    assert any("they show that the update did not suffice" in claim for claim in reading.claims)
    assert any("the measurements say that they were not" in limit for limit in reading.limits)
    assert "accepted" not in text(read(certificate_facts())).replace("was accepted", "")


@pytest.mark.parametrize(("by", "who"), [("key_9", "Key key_9"), ("lethe", "Lethe")])
def test_a_line_that_was_retired_is_said_to_be_gone(by: str, who: str) -> None:
    reading = read(replace(certificate_facts(), retirement=Retirement(by, NOON, "Discontinued.")))

    assert "answered by retiring the adapter line, of which support-bot@v3 was the last version." in reading.claims[0]
    assert f"{who} retired the line on 2025-01-31T12:00:00.000Z. The reason given: Discontinued." in reading.claims
    assert any("all its versions were withdrawn" in claim for claim in reading.claims)


def test_what_was_measured_and_what_was_not() -> None:
    measured = {"before": {"forget": 0.1}, "after": {"forget": 0.9}, "retained_kl": 0.001, "passed": None}
    facts = certificate_facts()

    told = text(
        read(
            replace(
                facts,
                method=replace(facts.method, strategy="influence", measurements={**measured, "reasons": ["Few."]}),
            )
        )
    )

    assert "mean loss on the removed instances 0.900 nats a token, 0.100 before" in told
    assert "what stays 0.001" in told
    assert "The verification could not tell. Few." in told
    assert "tests that were not run: relearning" in told


def test_a_rebuild_is_compared_with_the_bare_base_model() -> None:
    measured = {"before": {"retained": 1.2}, "after": {"retained": 0.2}}
    facts = certificate_facts()
    method = replace(facts.method, strategy="rebuild", measurements=measured)

    told = text(read(replace(facts, method=method)))
    assert "mean loss on what stays 0.200 nats a token, 1.200 under the bare base model" in told


def test_every_copy_that_can_remain_has_words() -> None:
    facts = replace(certificate_facts(), remaining_copies=[RemainingCopy(copy, NOON) for copy in Copy])

    remains = read(facts).remains

    assert set(COPIES) == set(Copy)
    assert all("until 2025-01-31T12:00:00.000Z at the latest" in line for line in remains[: len(Copy)])
    assert any("support-bot@v1, withdrawn on 2025-01-31T12:01:00.000Z: it cannot be read" in line for line in remains)


def test_what_is_gone_is_told_with_its_moment() -> None:
    (rows,) = read(certificate_facts()).destroyed
    assert re.search(r"their keys were destroyed.*, on 2025-01-31T12:02:00.000Z$", rows)

    every = read(replace(certificate_facts(), destroyed_copies=[DestroyedCopy(copy, NOON) for copy in Copy])).destroyed
    assert len({*every}) == len(Copy)
    assert not read(replace(certificate_facts(), destroyed_copies=())).destroyed


def test_a_receipt_says_that_nothing_was_done_yet() -> None:
    statement = receipt(
        request_id="req_1", issued_at=NOON, received_at=NOON, due_at=NOON, operation_counts={"remove": 2}, body_hash=""
    )

    reading = read_receipt(statement["predicate"])  # type: ignore[arg-type]

    assert "Request req_1 of 2 operations was accepted" in reading.claims[0]
    assert "that anything was done" in reading.limits[0]


def test_an_audit_head_says_how_long_the_chain_is() -> None:
    reading = read_audit_head(audit_head(Head(1, 3, HASHES[0]), issued_at=NOON)["predicate"])  # type: ignore[arg-type]

    assert "had 1 row," in reading.claims[0]
    assert HASHES[0] in reading.claims[0]


def test_replicas_that_had_swapped_are_claimed_and_the_others_remain() -> None:
    reading = read(certificate_facts())

    assert any("replica rep_1 was proven" in claim and "support-bot@v2" in claim for claim in reading.claims)
    assert any("replica rep_2, which had not swapped" in line for line in reading.remains)
    assert not any("rep_1" in line for line in reading.remains)


def test_a_refusal_says_why_and_not_that_it_is_right() -> None:
    statement = refusal(
        request_id="req_1", subject=[], issued_at=NOON, received_at=NOON, due_at=NOON, regulation="gdpr",
        client_reference=None, operation_counts={"remove": 1}, code=RejectionCode.no_match, refused_by="key_1",
    )  # fmt: skip
    reading = read_refusal(statement["predicate"])  # type: ignore[arg-type]
    told = " ".join(reading.claims)
    assert "no_match: Nothing is held about who asks." in told
    assert "refused by its due date" in told
    assert "after" in " ".join(read_refusal({}).claims)
    assert "that the reason holds, or that the law allows it" in reading.limits


def test_a_swap_receipt_says_what_was_seen_and_no_more() -> None:
    reading = read_swap_receipt(swap_receipt(swap_facts())["predicate"])  # type: ignore[arg-type]

    assert "listed version support-bot@v3 and gave the answers to its probe that only" in reading.claims[0]
    assert "support-bot@v1 went: the name was unloaded, but its weights could not be overwritten" in reading.claims[1]
    assert "support-bot@v2 went: its weights were overwritten with zeros" in reading.claims[2]
    assert any("no copy is left" in limit for limit in reading.limits)

    indistinct = replace(swap_facts(), outcome=ProbeOutcome.indistinct, removed=[RemovedAdapter("a@v1", None)])
    told = text(read_swap_receipt(swap_receipt(indistinct)["predicate"]))  # type: ignore[arg-type]
    assert "and another one too" in told
    assert "which frees its memory" in told


def test_members_that_are_missing_are_passed_over() -> None:
    assert read_certificate({}).claims
    assert read_receipt({}).claims
    assert read_audit_head({}).claims
    assert read_swap_receipt({}).claims
