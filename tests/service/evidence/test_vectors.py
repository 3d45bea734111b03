"""One key and one certificate, fixed for ever: what we sign does not change unnoticed, and others can verify it.

The other one is securesystemslib, the implementation of DSSE that in-toto and TUF use.
"""

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from service.evidence.key_set import read_key_set
from service.evidence.keys import jwks
from service.evidence.statements import certificate
from service.evidence.verification import verify_envelope
from tests.support.evidence import certificate_facts, fixed_signer

VECTORS = Path(__file__).parent / "vectors"


@pytest.fixture
def envelope() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / "certificate.json").read_text())
    return found


@pytest.fixture
def key_set() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / "jwks.json").read_text())
    return found


def foreign_key(key_set: dict[str, Any]) -> SSlibKey:
    """The published key in securesystemslib's form, made from the key set alone."""
    (jwk,) = key_set["keys"]
    public = base64.urlsafe_b64decode(jwk["x"] + "==").hex()
    return SSlibKey(jwk["kid"], "ed25519", "ed25519", {"public": public})


def test_the_same_seed_and_facts_give_the_same_bytes(envelope: dict[str, Any], key_set: dict[str, Any]) -> None:
    assert fixed_signer().envelope(certificate(certificate_facts())) == envelope
    assert jwks([fixed_signer().jwk()]) == key_set


def test_we_verify_it(envelope: dict[str, Any], key_set: dict[str, Any]) -> None:
    assert verify_envelope(envelope, read_key_set(key_set)).holds


def test_securesystemslib_verifies_it(envelope: dict[str, Any], key_set: dict[str, Any]) -> None:
    parsed = Envelope.from_dict(copy.deepcopy(envelope))

    assert list(parsed.verify([foreign_key(key_set)], threshold=1)) == [fixed_signer().kid]
    assert parsed.payload_type == "application/vnd.in-toto+json"
    assert json.loads(parsed.payload) == certificate(certificate_facts())


def test_securesystemslib_refuses_it_altered(envelope: dict[str, Any], key_set: dict[str, Any]) -> None:
    payload = base64.b64decode(envelope["payload"]).replace(b'"E"', b'"M"')
    parsed = Envelope.from_dict({**envelope, "payload": base64.b64encode(payload).decode()})

    with pytest.raises(VerificationError):
        parsed.verify([foreign_key(key_set)], threshold=1)
