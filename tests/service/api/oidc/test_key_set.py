"""The keys of an identity provider: read when they are needed, not more often, and only those that can be trusted."""

from typing import Any

import pytest

from service.api.errors import ProviderAway
from service.api.oidc import key_set as module
from service.api.oidc.discovery import MAX_BYTES, Discovery
from service.api.oidc.key_set import COOL_DOWN_S, FRESH_S, STALE_S, KeySet
from service.egress.address import AddressPolicy
from service.settings import Settings
from tests.support.oidc import Issuer, Signer

HERE = AddressPolicy.of(Settings(allow_networks="127.0.0.0/8", allow_http=True))
METADATA, JWKS = "/.well-known/openid-configuration", "/jwks"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(provider: Issuer, clock: Clock) -> KeySet:
    return KeySet(Discovery(provider.url, HERE), clock=clock)


class TestCache:
    def test_they_are_read_once(self, keys: KeySet, provider: Issuer) -> None:
        for _ in range(3):
            assert keys.key("key-1", "RS256") is not None
        assert provider.asked == [METADATA, JWKS]

    def test_they_are_read_again_when_they_are_old(self, keys: KeySet, provider: Issuer, clock: Clock) -> None:
        keys.key("key-1", "RS256")
        clock.now += FRESH_S - 1
        keys.key("key-1", "RS256")
        assert len(provider.asked) == 2
        clock.now += 1
        keys.key("key-1", "RS256")
        assert len(provider.asked) == 4

    def test_a_key_that_the_provider_withdraws_is_trusted_no_longer(
        self, keys: KeySet, provider: Issuer, clock: Clock
    ) -> None:
        assert keys.key("key-1", "RS256") is not None
        provider.keys = [Signer.new("key-2").jwk()]
        clock.now += FRESH_S
        assert keys.key("key-1", "RS256") is None
        assert keys.key("key-2", "RS256") is not None

    def test_a_new_key_is_found_after_the_cool_down(self, keys: KeySet, provider: Issuer, clock: Clock) -> None:
        keys.key("key-1", "RS256")
        provider.keys.append(Signer.new("key-2", "ES256").jwk())
        assert keys.key("key-2", "ES256") is None
        clock.now += COOL_DOWN_S
        assert keys.key("key-2", "ES256") is not None

    def test_made_up_key_ids_do_not_flood_the_provider(self, keys: KeySet, provider: Issuer, clock: Clock) -> None:
        for number in range(100):
            keys.key(f"made-up-{number}", "RS256")
        assert len(provider.asked) == 2
        clock.now += COOL_DOWN_S
        for number in range(100):
            keys.key(f"made-up-{number}", "RS256")
        assert len(provider.asked) == 4


class TestAway:
    def test_at_first(self, keys: KeySet, provider: Issuer, clock: Clock) -> None:
        provider.status = 500
        for _ in range(5):
            with pytest.raises(ProviderAway):
                keys.key("key-1", "RS256")
        assert len(provider.asked) == 1
        provider.status = 200
        clock.now += COOL_DOWN_S
        assert keys.key("key-1", "RS256") is not None

    def test_later_what_was_read_counts_for_an_hour(self, keys: KeySet, provider: Issuer, clock: Clock) -> None:
        keys.key("key-1", "RS256")
        provider.status = 503
        clock.now += STALE_S
        assert keys.key("key-1", "RS256") is not None
        clock.now += 1
        with pytest.raises(ProviderAway):
            keys.key("key-1", "RS256")

    @pytest.mark.parametrize(
        "metadata",
        [
            {"issuer": "https://evil.example"},
            {"issuer": None},
            {"jwks_uri": None},
            {"jwks_uri": "http://10.0.0.1/jwks"},
            {"jwks_uri": "file:///etc/passwd"},
            {"jwks_uri": "http://user:secret@127.0.0.1/jwks"},
            {"jwks_uri": 7},
        ],
    )
    def test_documents_that_name_the_wrong(self, keys: KeySet, provider: Issuer, metadata: dict[str, Any]) -> None:
        provider.metadata = metadata
        with pytest.raises(ProviderAway):
            keys.key("key-1", "RS256")
        assert provider.asked == [METADATA]

    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"issuer": 1}', b"{" + b" " * MAX_BYTES + b"}"],
        ids=["empty", "list", "null", "no text", "deep", "another", "too long"],
    )
    def test_documents_that_are_none(self, keys: KeySet, provider: Issuer, body: bytes) -> None:
        provider.body = body
        with pytest.raises(ProviderAway):
            keys.key("key-1", "RS256")

    @pytest.mark.parametrize("given", [None, 7])
    def test_sets_that_are_none(self, keys: KeySet, provider: Issuer, given: Any) -> None:
        provider.keys = given
        with pytest.raises(ProviderAway):
            keys.key("key-1", "RS256")

    def test_redirects_are_not_followed(self, keys: KeySet, provider: Issuer) -> None:
        provider.status = 302
        with pytest.raises(ProviderAway):
            keys.key("key-1", "RS256")

    def test_addresses_that_are_not_allowed(self, provider: Issuer) -> None:
        with pytest.raises(ProviderAway):
            KeySet(Discovery(provider.url, AddressPolicy(allow_http=True))).key("key-1", "RS256")
        assert provider.asked == []


class TestWhichKeys:
    @pytest.mark.parametrize(
        "changed",
        [
            {"use": "enc"},
            {"alg": "RS512"},
            {"alg": "HS256"},
            {"kty": "oct", "k": "c2VjcmV0"},
            {"kty": "EC"},
            {"kty": ["RSA"]},
            {"kty": None},
            {"n": "!"},
            {"n": None},
            {"d": "AQAB"},
        ],
    )
    def test_others_are_left_out(
        self, keys: KeySet, provider: Issuer, signer: Signer, changed: dict[str, object]
    ) -> None:
        provider.keys = [{**signer.jwk(), **changed}, Signer.new("good").jwk()]
        for algorithm in (*module.ALGORITHMS, "HS256", "none"):
            assert keys.key("key-1", algorithm) is None
        assert keys.key("good", "RS256") is not None

    def test_short_rsa_keys(self, keys: KeySet, provider: Issuer) -> None:
        provider.keys = [Signer.new("short", bits=1024).jwk()]
        assert keys.key("short", "RS256") is None

    def test_a_key_is_for_its_own_algorithm_only(self, keys: KeySet, provider: Issuer) -> None:
        provider.keys = [Signer.new(algorithm, algorithm).jwk() for algorithm in module.ALGORITHMS]
        for kid in module.ALGORITHMS:
            for algorithm in module.ALGORITHMS:
                assert (keys.key(kid, algorithm) is not None) == (kid == algorithm)

    def test_two_keys_of_one_id_are_none(self, keys: KeySet, provider: Issuer, signer: Signer) -> None:
        provider.keys = [signer.jwk(), Signer.new(signer.kid).jwk()]
        assert keys.key(signer.kid, "RS256") is None

    def test_without_an_id_the_only_key(self, keys: KeySet, provider: Issuer, clock: Clock) -> None:
        assert keys.key(None, "RS256") is not None
        provider.keys.append(Signer.new("key-2").jwk())
        clock.now += FRESH_S
        assert keys.key(None, "RS256") is None

    def test_no_more_than_a_hundred(self, keys: KeySet, provider: Issuer, signer: Signer) -> None:
        provider.keys = [{"kty": "oct"}] * module.MAX_KEYS + [signer.jwk()]
        assert keys.key(signer.kid, "RS256") is None
