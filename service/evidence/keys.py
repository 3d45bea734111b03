"""The Ed25519 keys (RFC 8032) that sign receipts and certificates, and their public form (RFC 8037)."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from service.domain.errors import InvalidInput
from service.evidence import dsse
from service.evidence.canonical import canonical_json
from service.evidence.sealing import Sealed, Sealer

STATEMENT_TYPE = "application/vnd.in-toto+json"
_SEAL_CONTEXT = "signing key"


class Signer:
    """A private signing key. Store it sealed; publish its `jwk`."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.kid = thumbprint(self.jwk())

    @classmethod
    def generate(cls) -> Self:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, seed: bytes) -> Self:
        """The key with this 32-byte seed."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def from_sealed(cls, sealer: Sealer, ciphertext: bytes, wrapped_key: bytes | None) -> Self:
        """A key stored by `seal`.

        Raises:
            Corrupted: it was altered, or sealed under another master key.
        """
        return cls.from_bytes(sealer.unseal(Sealed(ciphertext, wrapped_key), context=_SEAL_CONTEXT))

    def seal(self, sealer: Sealer) -> Sealed:
        """The form in which the key may be stored."""
        return sealer.seal(self._private.private_bytes_raw(), context=_SEAL_CONTEXT)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature."""
        return self._private.sign(message)

    def envelope(self, statement: Mapping[str, object]) -> dsse.Envelope:
        """An in-toto statement in a signed DSSE envelope."""
        return dsse.sign(canonical_json(statement), payload_type=STATEMENT_TYPE, signer=self)

    def jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key, without `kid`, `use` and `alg`."""
        return {"kty": "OKP", "crv": "Ed25519", "x": _base64url(self._private.public_key().public_bytes_raw())}


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The key id of a public key: its RFC 7638 thumbprint (section 3.2; for Ed25519 as RFC 8037 has it)."""
    names = ("crv", "kty", "x", "y") if jwk["kty"] == "EC" else ("crv", "kty", "x")
    members = {name: jwk[name] for name in names}
    return _base64url(hashlib.sha256(canonical_json(members)).digest())


def jwks(keys: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The JSON Web Key Set that verifiers read. Retired keys stay in it: they signed older certificates.

    Keys may have further members, which those who do not know them ignore (RFC 7517, section 4).
    """
    return {"keys": [{**jwk, "kid": thumbprint(jwk), "use": "sig", "alg": _algorithm(jwk)} for jwk in keys]}


def public_keys(key_set: Mapping[str, Iterable[Mapping[str, str]]]) -> list[Ed25519PublicKey]:
    """The Ed25519 keys of a JSON Web Key Set; keys of other kinds are passed over.

    Raises:
        InvalidInput: this is no key set, or a key is malformed.
    """
    try:
        return [
            Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=="))
            for key in key_set["keys"]
            if key.get("kty") == "OKP" and key.get("crv") == "Ed25519"
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidInput("This is no JSON Web Key Set.", code="not-a-key-set") from None


def _algorithm(jwk: Mapping[str, Any]) -> str:
    return "ES256" if jwk["kty"] == "EC" else "EdDSA"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
