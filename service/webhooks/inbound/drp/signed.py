"""Signed messages (section 3.07.1): a signature and JSON, as libsodium's combined mode has them, in base64."""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from service.domain.errors import InvalidInput, Unreadable
from service.webhooks.inbound.delivery import wrong_signature

KEY_BYTES = 32
SIGNATURE_BYTES = 64


class AgentKey:
    """An agent's `verify_key`, as the service directory lists it: an Ed25519 public key in base64."""

    def new_secret(self) -> str | None:
        return None

    def check_secret(self, secret: str) -> None:
        if len(_decoded(secret.encode()) or b"") != KEY_BYTES:
            raise InvalidInput(
                "This is no verify key of an agent.",
                field="/secret",
                fix="Copy `verify_key` of the agent from the service directory: 32 bytes in base64.",
                code="invalid-secret",
            )


@dataclass(frozen=True, slots=True)
class Signed:
    """A message, and the signature that was put before it."""

    signature: bytes
    message: bytes

    @classmethod
    def of(cls, body: bytes) -> Self:
        """Raises Unreadable: it is no base64, or too short to be signed."""
        decoded = _decoded(body.strip())
        if decoded is None or len(decoded) < SIGNATURE_BYTES:
            raise Unreadable(
                "The body is no signed message in base64.",
                fix="Put the Ed25519 signature before the JSON, and encode both together in base64.",
                code="malformed-message",
            )
        return cls(decoded[:SIGNATURE_BYTES], decoded[SIGNATURE_BYTES:])

    def is_by(self, keys: Iterable[str]) -> bool:
        """Whether one of these verify keys proves it."""
        return any(self._verifies(key) for key in keys)

    def check(self, keys: Iterable[str]) -> None:
        """Raises NotFromSender: no key proves it."""
        if not self.is_by(keys):
            raise wrong_signature("body")

    def _verifies(self, key: str) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(self.signature, self.message)
        except InvalidSignature:
            return False
        return True


def _decoded(code: bytes) -> bytes | None:
    try:
        return base64.b64decode(code, validate=True)
    except (binascii.Error, ValueError):
        return None
