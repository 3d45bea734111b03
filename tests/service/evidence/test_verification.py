"""Every way in which a certificate can fail to hold, and the name it is given."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.domain.decisions import RejectionCode
from service.domain.errors import Corrupted
from service.evidence import dsse
from service.evidence.audit import Head
from service.evidence.key_set import KeySet, read_key_set
from service.evidence.keys import STATEMENT_TYPE, Signer, jwks
from service.evidence.statements import audit_head, certificate, receipt, refusal
from service.evidence.verification import verify_envelope, with_files
from tests.support.evidence import FILES, HASHES, NOON, certificate_facts, fixed_signer


def published(signer: Signer, **members: object) -> KeySet:
    return read_key_set(jwks([{**signer.jwk(), **members}, Signer.generate().jwk()]))


def signed() -> dsse.Envelope:
    return fixed_signer().envelope(certificate(certificate_facts()))


def codes(envelope: Mapping[str, Any], keys: KeySet) -> list[str]:
    return [finding.code for finding in verify_envelope(envelope, keys).findings]


class TestEnvelope:
    def test_one_that_holds(self) -> None:
        found = verify_envelope(signed(), published(fixed_signer()))
        assert found.holds
        assert (found.kind, found.predicate["certificate"]) == ("certificate", "cert_2")
        assert found.key is not None
        assert found.key.kid == fixed_signer().kid

    def test_receipts_refusals_and_audit_heads_too(self) -> None:
        receipted = receipt(
            request_id="req_1", issued_at=NOON, received_at=NOON, due_at=NOON, operation_counts={}, body_hash=HASHES[0]
        )
        refused = refusal(
            request_id="req_1", subject=[], issued_at=NOON, received_at=NOON, due_at=NOON, regulation=None,
            client_reference=None, operation_counts={}, code=RejectionCode.other, refused_by="key_1",
        )  # fmt: skip
        for statement, kind in (
            (receipted, "receipt"),
            (refused, "refusal"),
            (audit_head(Head(1, 1, HASHES[0]), issued_at=NOON), "audit head"),
        ):
            found = verify_envelope(fixed_signer().envelope(statement), published(fixed_signer()))
            assert (found.holds, found.kind) == (True, kind)

    def test_altered_after_it_was_signed(self) -> None:
        envelope = signed()
        content = json.loads(base64.b64decode(envelope["payload"]))
        content["predicate"]["claim"]["level"] = "E!"
        envelope["payload"] = base64.b64encode(json.dumps(content).encode()).decode()
        found = verify_envelope(envelope, published(fixed_signer()))
        assert [finding.code for finding in found.findings] == ["bad-signature"]
        assert found.statement is None, "what nobody vouches for is not read"

    def test_signed_by_a_key_that_is_not_in_the_set(self) -> None:
        (finding,) = verify_envelope(signed(), published(Signer.generate())).findings
        assert (finding.code, finding.subject) == ("unknown-key", fixed_signer().kid)

    def test_without_a_key_id_only_the_signature_tells(self) -> None:
        envelope = signed()
        del envelope["signatures"][0]["keyid"]
        assert verify_envelope(envelope, published(fixed_signer())).holds
        assert codes(envelope, published(Signer.generate())) == ["bad-signature"]

    def test_a_foreign_signature_beside_a_good_one_does_no_harm(self) -> None:
        envelope = signed()
        envelope["signatures"].insert(0, Signer.generate().envelope({})["signatures"][0])
        assert verify_envelope(envelope, published(fixed_signer())).holds

    def test_no_signature_at_all(self) -> None:
        assert codes({**signed(), "signatures": []}, published(fixed_signer())) == ["bad-signature"]

    @pytest.mark.parametrize("payload", [b"{}", b"[]", b"\xff", b'{"_type": "https://in-toto.io/Statement/v0.1"}'])
    def test_a_signed_payload_that_is_no_statement(self, payload: bytes) -> None:
        envelope = dsse.sign(payload, payload_type=STATEMENT_TYPE, signer=fixed_signer())
        assert codes(envelope, published(fixed_signer())) == ["unknown-statement"]

    def test_a_predicate_that_lethe_does_not_make(self) -> None:
        other = {**certificate(certificate_facts()), "predicateType": "https://slsa.dev/provenance/v1"}
        found = verify_envelope(fixed_signer().envelope(other), published(fixed_signer()))
        (finding,) = found.findings
        assert (finding.code, finding.subject, found.kind) == (
            "unknown-predicate", "https://slsa.dev/provenance/v1", None,
        )  # fmt: skip

    def test_what_is_no_envelope_is_refused(self) -> None:
        with pytest.raises(Corrupted) as caught:
            verify_envelope({"keys": []}, published(fixed_signer()))
        assert caught.value.code == "not-an-envelope"


class TestRevokedKey:
    """The certificate is dated 2025-01-31T12:02."""

    @pytest.mark.parametrize("revoked_at", ["2025-01-01T00:00:00Z", "2030-01-01T00:00:00Z"])
    def test_a_compromised_key_vouches_for_nothing_whatever_the_date(self, revoked_at: str) -> None:
        keys = published(fixed_signer(), lethe_revoked_at=revoked_at, lethe_revocation_reason="compromised")
        (finding,) = verify_envelope(signed(), keys).findings
        assert (finding.code, finding.subject) == ("revoked-key", fixed_signer().kid)
        assert "whatever date it bears" in finding.detail

    def test_a_withdrawn_key_vouches_for_what_came_before(self) -> None:
        later = published(fixed_signer(), lethe_revoked_at="2025-02-01T00:00:00Z", lethe_revocation_reason="withdrawn")
        earlier = published(
            fixed_signer(), lethe_revoked_at="2025-01-31T12:02:00Z", lethe_revocation_reason="withdrawn"
        )
        assert verify_envelope(signed(), later).holds
        assert codes(signed(), earlier) == ["revoked-key"]

    def test_of_two_signatures_the_one_that_still_vouches_counts(self) -> None:
        other, envelope = Signer.generate(), signed()
        again = other.envelope(certificate(certificate_facts()))
        envelope["signatures"].append(again["signatures"][0])
        revoked = {**fixed_signer().jwk(), "lethe_revoked_at": "2025-01-01T00:00:00Z"}
        found = verify_envelope(envelope, read_key_set(jwks([revoked, other.jwk()])))
        assert found.holds
        assert found.key is not None
        assert found.key.kid == other.kid


class TestFiles:
    @pytest.fixture
    def adapter(self, tmp_path: Path) -> Path:
        directory = tmp_path / "adapter"
        directory.mkdir()
        for name, data in FILES.items():
            (directory / name).write_bytes(data)
        return directory

    def found(self, directory: Path) -> list[tuple[str, str | None]]:
        verified = with_files(verify_envelope(signed(), published(fixed_signer())), directory)
        return [(finding.code, finding.subject) for finding in verified.findings]

    def test_all_there(self, adapter: Path) -> None:
        (adapter / ".cache").write_text("of some tool")
        verified = with_files(verify_envelope(signed(), published(fixed_signer())), adapter)
        assert (verified.holds, verified.files) == (True, 2)

    def test_another_content(self, adapter: Path) -> None:
        (adapter / "adapter_config.json").write_text("{}")
        assert self.found(adapter) == [("digest-mismatch", "adapter_config.json")]

    def test_one_missing_and_one_too_many(self, adapter: Path) -> None:
        (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
        assert self.found(adapter) == [
            ("missing-file", "adapter_model.safetensors"),
            ("unexpected-file", "adapter_model.bin"),
        ]

    def test_one_too_many_below(self, adapter: Path) -> None:
        (adapter / "sub").mkdir()
        (adapter / "sub" / "adapter_config.json").write_bytes(b"b")
        assert self.found(adapter) == [("unexpected-file", "sub/adapter_config.json")]
