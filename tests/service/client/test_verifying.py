"""Offline verification: what holds, what does not, and what cannot be verified in this way."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.client import verify
from service.domain.errors import Corrupted, InvalidInput
from service.evidence.keys import jwks
from service.evidence.statements import certificate, receipt, swap_receipt
from tests.support.evidence import FILES, certificate_facts, fixed_signer, swap_facts

KEYS = jwks([fixed_signer().jwk()])


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_a_certificate_and_its_files(adapter: Path) -> None:
    envelope = fixed_signer().envelope(certificate(certificate_facts()))
    assert verify(envelope, KEYS).holds
    assert verify(envelope, KEYS, adapter).files == len(FILES)
    (adapter / "adapter_config.json").write_text("another")
    assert [finding.code for finding in verify(envelope, KEYS, adapter).findings] == ["digest-mismatch"]


def test_a_swap_receipt_and_the_files_that_are_served(adapter: Path) -> None:
    envelope = fixed_signer().envelope(swap_receipt(swap_facts()))
    assert verify(envelope, KEYS, adapter).files == len(FILES)


def test_what_no_published_key_signed_speaks_of_nothing(adapter: Path) -> None:
    envelope = fixed_signer().envelope(certificate(certificate_facts()))
    assert [finding.code for finding in verify(envelope, {"keys": []}, adapter).findings] == ["unknown-key"]


def test_a_receipt_speaks_of_no_files(adapter: Path) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    statement = receipt(
        request_id="req_1",
        issued_at=moment,
        received_at=moment,
        due_at=moment,
        operation_counts={"remove": 1},
        body_hash="00" * 32,
    )
    envelope = fixed_signer().envelope(statement)
    assert verify(envelope, KEYS).kind == "receipt"
    with pytest.raises(InvalidInput):
        verify(envelope, KEYS, adapter)


def test_what_cannot_be_verified(adapter: Path) -> None:
    envelope = fixed_signer().envelope(certificate(certificate_facts()))
    with pytest.raises(InvalidInput):
        verify(envelope, {})
    with pytest.raises(Corrupted):
        verify({}, KEYS)
