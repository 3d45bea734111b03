"""The ECDSA keys on P-256 that sign the files of versions, and their public form (RFC 7518, section 6.2)."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from service.evidence.keys import thumbprint
from service.evidence.sealing import Sealed, Sealer

_SEAL_CONTEXT = "model signing key"
_COORDINATE_BYTES = 32


class ModelSigner:
    """A private key that signs models. Store it sealed; publish its `jwk`."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.kid = thumbprint(self.jwk())

    @classmethod
    def generate(cls) -> Self:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_scalar(cls, scalar: int) -> Self:
        """The key with this secret number, between 1 and the order of the curve."""
        return cls(ec.derive_private_key(scalar, ec.SECP256R1()))

    @classmethod
    def from_sealed(cls, sealer: Sealer, ciphertext: bytes, wrapped_key: bytes | None) -> Self:
        """A key stored by `seal`.

        Raises:
            Corrupted: it was altered, or sealed under another master key.
        """
        scalar = sealer.unseal(Sealed(ciphertext, wrapped_key), context=_SEAL_CONTEXT)
        return cls.from_scalar(int.from_bytes(scalar))

    def seal(self, sealer: Sealer) -> Sealed:
        """The form in which the key may be stored."""
        scalar = self._private.private_numbers().private_value
        return sealer.seal(scalar.to_bytes(_COORDINATE_BYTES), context=_SEAL_CONTEXT)

    def sign(self, message: bytes) -> bytes:
        """The signature in DER. Equal messages give equal signatures (RFC 6979), so that they can be cached."""
        return self._private.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True))

    def jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key, without `kid`, `use` and `alg`."""
        numbers = self._private.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": _base64url(numbers.x), "y": _base64url(numbers.y)}


def public_key(jwk: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    """The key that a JSON Web Key describes.

    Raises:
        KeyError, ValueError: it is malformed, or no point of the curve.
    """
    x, y = (int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "==")) for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def pem(jwk: Mapping[str, Any]) -> bytes:
    """A public key as PEM (SubjectPublicKeyInfo), the form that verifiers of models read."""
    return public_key(jwk).public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def hint(jwk: Mapping[str, Any]) -> str:
    """How a signature bundle names the key that it needs: SHA-256, in hex, of its PEM form."""
    return hashlib.sha256(pem(jwk)).hexdigest()


def _base64url(coordinate: int) -> str:
    return base64.urlsafe_b64encode(coordinate.to_bytes(_COORDINATE_BYTES)).rstrip(b"=").decode()
