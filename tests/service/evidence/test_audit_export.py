"""Exports of the audit chain: whole ones, cut ones, and what a certificate pins in them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from service.domain.errors import Corrupted, InvalidInput, LetheError
from service.evidence.audit import GENESIS, Head, content, link
from service.evidence.audit_export import find_pin, read_export, verify_export
from service.evidence.canonical import canonical_json
from service.evidence.facts import AuditPin
from service.evidence.key_set import read_key_set
from service.evidence.keys import Signer, jwks
from service.evidence.statements import audit_head, certificate
from service.evidence.verification import Verification, verify_envelope
from tests.support.evidence import NOON, certificate_facts, fixed_signer

KEYS = read_key_set(jwks([fixed_signer().jwk()]))
Row = dict[str, Any]


def rows(*data: Row) -> list[Row]:
    previous, made = GENESIS, []
    for seq, one in enumerate(data or ({"n": 1}, {"n": 2}, {"n": 3}), start=1):
        action = "certificate.issued" if "certificate" in one else "request.created"
        covered = content(at=NOON, actor="key_1", action=action, data=one)
        previous = link(previous, covered)
        row = {"seq": seq, "created_at": "2025-01-31T12:00:00Z", "actor": "key_1", "action": action, "data": one}
        made.append({**row, "hash": previous})
    return made


def head_line(made: Sequence[Row], signer: Signer | None = None) -> str:
    head = Head(len(made), made[-1]["seq"], made[-1]["hash"])
    return json.dumps({"envelope": (signer or fixed_signer()).envelope(audit_head(head, issued_at=NOON))})


def lines(made: Sequence[Row], head: str | None = None) -> list[str]:
    return [*(json.dumps(row) for row in made), head or head_line(made)]


def refusal(exported: Sequence[str]) -> str:
    with pytest.raises(LetheError) as caught:
        verify_export(read_export(exported), KEYS)
    return caught.value.code


class TestVerify:
    def test_a_whole_one(self) -> None:
        found = verify_export(read_export([*lines(rows()), ""]), KEYS)
        assert (found.holds, found.predicate["position"]) == (True, 3)

    @pytest.mark.parametrize(
        ("cut", "code"),
        [
            (lines(rows()[1:], head_line(rows())), "audit-truncated-start"),
            (lines(rows()[:-1], head_line(rows())), "audit-truncated-end"),
            (lines([rows()[0], rows()[2]], head_line(rows())), "audit-dropped"),
            (lines([rows()[1], rows()[0], rows()[2]], head_line(rows())), "audit-reordered"),
            (lines([rows()[0], {**rows()[1], "actor": "key_2"}, rows()[2]], head_line(rows())), "audit-altered"),
            (lines([rows()[0], {**rows()[1], "data": {"n": 0}}, rows()[2]], head_line(rows())), "audit-altered"),
            (
                lines([rows()[0], {**rows()[1], "created_at": "2025-01-30T12:00:00Z"}, rows()[2]], head_line(rows())),
                "audit-altered",
            ),
            (lines(rows(), head_line(rows()[:-1])), "audit-beyond-head"),
            (lines(rows())[:-1], "audit-head-missing"),
            (lines(rows())[1:-1], "audit-truncated-start"),
        ],
    )
    def test_one_that_was_tampered_with(self, cut: list[str], code: str) -> None:
        assert refusal(cut) == code

    def test_a_head_that_is_not_ours(self) -> None:
        found = verify_export(read_export(lines(rows(), head_line(rows(), Signer.generate()))), KEYS)
        assert [finding.code for finding in found.findings] == ["unknown-key"]

    def test_a_signed_statement_that_is_no_head(self) -> None:
        other = json.dumps({"envelope": fixed_signer().envelope(certificate(certificate_facts()))})
        found = verify_export(read_export(lines(rows(), other)), KEYS)
        assert [finding.code for finding in found.findings] == ["unknown-predicate"]


@pytest.mark.parametrize(
    "broken",
    [["{"], ["[]"], ["7"], ['{"seq": 1}'], [*lines(rows()), lines(rows())[0]], [json.dumps({**rows()[0], "data": 1})]],
)
def test_what_is_no_export(broken: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_export(broken)
    assert (caught.value.code, caught.value.extra["line"]) == ("not-an-audit-export", len(broken))


class TestPin:
    def certified(self, pin: AuditPin) -> Verification:
        statement = certificate(replace(certificate_facts(), audit=pin))
        return verify_envelope(fixed_signer().envelope(statement), KEYS)

    def test_the_row_that_a_certificate_pins(self) -> None:
        made = rows()
        found = find_pin(read_export(lines(made)).entries, self.certified(AuditPin(2, made[1]["hash"])))
        assert found is not None
        assert found.seq == 2

    def test_nothing_was_there_before(self) -> None:
        assert find_pin(read_export(lines(rows())).entries, self.certified(AuditPin(0, GENESIS))) is None

    @pytest.mark.parametrize(("seq", "code"), [(2, "audit-pin-missing"), (9, "audit-older-than-certificate")])
    def test_a_row_that_is_not_there(self, seq: int, code: str) -> None:
        pin = AuditPin(seq, hashlib.sha256(b"another past").hexdigest())
        with pytest.raises(Corrupted) as caught:
            find_pin(read_export(lines(rows())).entries, self.certified(pin))
        assert caught.value.code == code

    def test_the_chain_tells_which_statement_was_issued(self) -> None:
        pin = AuditPin(0, GENESIS)
        digest = hashlib.sha256(canonical_json(certificate(replace(certificate_facts(), audit=pin)))).hexdigest()
        issued = rows({"certificate": "cert_1", "sha256": "0"}, {"certificate": "cert_2", "sha256": digest})
        assert find_pin(read_export(lines(issued)).entries, self.certified(pin)) is None
        other = rows({"certificate": "cert_2", "sha256": "0" * 64})
        with pytest.raises(Corrupted) as caught:
            find_pin(read_export(lines(other)).entries, self.certified(pin))
        assert (caught.value.code, caught.value.extra["position"]) == ("audit-certificate-differs", 1)

    def test_a_head_pins_nothing(self) -> None:
        head = verify_envelope(json.loads(head_line(rows()))["envelope"], KEYS)
        with pytest.raises(InvalidInput) as caught:
            find_pin(read_export(lines(rows())).entries, head)
        assert caught.value.code == "not-a-certificate"
