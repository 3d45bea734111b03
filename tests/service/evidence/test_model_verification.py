"""A version's signature is worth what the pinned keys are worth."""

import base64
import json
from collections.abc import Callable

import pytest

from service.domain.errors import Corrupted, InvalidInput
from service.evidence.keys import jwks
from service.evidence.model_keys import ModelSigner
from service.evidence.model_signature import model_signature
from service.evidence.model_verification import read_model_keys, verify_model_signature

NAME = "support-bot@v3"
FILES = {"adapter_config.json": "0a" * 32, "adapter_model.safetensors": "0b" * 32}
SIGNER, OTHER = ModelSigner.from_scalar(7), ModelSigner.from_scalar(8)
KEYS = read_model_keys(jwks([SIGNER.jwk()]))


def test_it_tells_the_files_that_were_signed() -> None:
    assert verify_model_signature(model_signature(NAME, FILES, SIGNER), KEYS, NAME) == FILES


def test_after_a_rotation_both_keys_count() -> None:
    both = read_model_keys(jwks([OTHER.jwk(), SIGNER.jwk()]))

    assert verify_model_signature(model_signature(NAME, FILES, SIGNER), both, NAME) == FILES
    assert verify_model_signature(model_signature(NAME, FILES, OTHER), both, NAME) == FILES


def altered(change: Callable[[dict[str, object]], None]) -> bytes:
    """A signed bundle whose payload was changed afterwards."""
    bundle = json.loads(model_signature(NAME, FILES, SIGNER))
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement)
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(bundle).encode()


@pytest.mark.parametrize(
    ("bundle", "code"),
    [
        (model_signature(NAME, FILES, OTHER), "bad-signature"),
        (altered(lambda statement: statement.update(subject=[{"name": "support-bot@v4"}])), "bad-signature"),
        (altered(lambda statement: None), "bad-signature"),
        (model_signature("support-bot@v2", FILES, SIGNER), "wrong-version"),
        (b"", "not-a-bundle"),
        (b"[]", "not-a-bundle"),
        (b'{"dsseEnvelope": 1}', "not-an-envelope"),
    ],
)
def test_what_does_not_hold_has_a_name(bundle: bytes, code: str) -> None:
    with pytest.raises(Corrupted) as refused:
        verify_model_signature(bundle, KEYS, NAME)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"keys": []},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]},
        {
            "keys": [
                SIGNER.jwk() | {"lethe_revoked_at": "2026-01-01T00:00:00Z", "lethe_revocation_reason": "withdrawn"}
            ]
        },
    ],
)
def test_without_a_key_to_trust_nothing_can_be_verified(document: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_model_keys(document)
    assert refused.value.code == "not-a-key-set"
