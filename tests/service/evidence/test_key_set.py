"""The published keys: what a verifier learns from them."""

from datetime import timedelta

import pytest

from service.domain.errors import InvalidInput
from service.domain.signing import RevocationReason
from service.evidence.key_set import PublishedKey, read_key_set
from service.evidence.keys import Signer, jwks
from tests.support.evidence import NOON, fixed_signer


def key(**members: object) -> PublishedKey:
    (found,) = read_key_set(jwks([{**fixed_signer().jwk(), **members}])).values()
    return found


def test_keys_are_known_by_their_thumbprint_whatever_the_set_calls_them() -> None:
    key_set = jwks([fixed_signer().jwk()])
    key_set["keys"][0]["kid"] = "another"

    assert list(read_key_set(key_set)) == [fixed_signer().kid]


def test_a_set_of_another_service_has_keys_that_nothing_became_of() -> None:
    key_set = {"keys": [{"kty": "RSA", "n": "x", "e": "AQAB"}, Signer.generate().jwk()]}

    (only,) = read_key_set(key_set).values()

    assert (only.retired_at, only.revoked_at, only.reason) == (None, None, None)


def test_a_retired_key_vouches_for_everything_it_signed() -> None:
    retired = key(lethe_retired_at="2025-01-31T12:00:00Z", lethe_revoked_at=None)

    assert retired.retired_at == NOON
    assert retired.vouches_for(NOON - timedelta(days=1))
    assert retired.vouches_for(None)


def test_a_withdrawn_key_vouches_for_what_is_dated_before() -> None:
    withdrawn = key(lethe_revoked_at="2025-01-31T12:00:00.000Z", lethe_revocation_reason="withdrawn")

    assert withdrawn.vouches_for(NOON - timedelta(milliseconds=1))
    assert not withdrawn.vouches_for(NOON)
    assert not withdrawn.vouches_for(None)


@pytest.mark.parametrize("reason", ["compromised", "a reason of tomorrow", None])
def test_a_key_that_others_may_have_vouches_for_nothing(reason: str | None) -> None:
    compromised = key(lethe_revoked_at="2025-01-31T12:00:00Z", lethe_revocation_reason=reason)

    assert compromised.reason is RevocationReason.compromised
    assert not compromised.vouches_for(NOON - timedelta(days=365))


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "keys",
        {"keys": ["x"]},
        {"keys": None},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]},
        {"keys": [{**fixed_signer().jwk(), "lethe_revoked_at": "yesterday"}]},
        {"keys": [{**fixed_signer().jwk(), "lethe_revoked_at": "2025-01-31T12:00:00"}]},
        {"keys": [{**fixed_signer().jwk(), "lethe_revoked_at": 7}]},
    ],
)
def test_documents_that_are_no_key_sets_are_refused(document: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_key_set(document)

    assert caught.value.code == "not-a-key-set"
    assert caught.value.fix
