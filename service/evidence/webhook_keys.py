"""The keys that sign outgoing webhooks (Standard Webhooks 1.0.0, "Signature scheme").

Signed is `{id}.{timestamp}.{body}`: with Ed25519 (`v1a`), of which receivers hold the public key (`whpk_`), or with
HMAC-SHA256 (`v1`) under a secret that both sides hold (`whsec_`).
"""

import base64
import hmac
import os
from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.domain.webhooks import SignatureScheme
from service.evidence.sealing import Sealed, Sealer

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class WebhookKey:
    """A secret of 32 bytes: the seed of an Ed25519 key, or an HMAC key. Store it sealed."""

    scheme: SignatureScheme
    secret: bytes

    @classmethod
    def generate(cls, scheme: SignatureScheme) -> Self:
        return cls(scheme, os.urandom(SECRET_BYTES))

    @classmethod
    def from_sealed(cls, sealer: Sealer, scheme: SignatureScheme, sealed: Sealed, *, key_id: str) -> Self:
        """A key stored by `seal`.

        Raises:
            Corrupted: it was altered, belongs to another row, or was sealed under another master key.
        """
        return cls(scheme, sealer.unseal(sealed, context=_context(scheme, key_id)))

    def seal(self, sealer: Sealer, *, key_id: str) -> Sealed:
        """The form in which the key may be stored, in the row with this id."""
        return sealer.seal(self.secret, context=_context(self.scheme, key_id))

    @property
    def shown_once(self) -> str | None:
        """The secret that the receiver needs; None where it needs the public key only."""
        return f"whsec_{_base64(self.secret)}" if self.scheme is SignatureScheme.hmac else None

    @property
    def public(self) -> str | None:
        """The public key; None for a shared secret."""
        if self.scheme is SignatureScheme.hmac:
            return None
        return f"whpk_{_base64(self._private().public_key().public_bytes_raw())}"

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """One signature as `webhook-signature` lists it. `timestamp`: seconds since 1970."""
        message = f"{message_id}.{timestamp}.".encode() + body
        if self.scheme is SignatureScheme.hmac:
            return f"v1,{_base64(hmac.digest(self.secret, message, 'sha256'))}"
        return f"v1a,{_base64(self._private().sign(message))}"

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secret)


def _context(scheme: SignatureScheme, key_id: str) -> str:
    return f"webhook key\0{scheme}\0{key_id}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
