"""The published keys as a verifier reads them: which there are, and which are not to be trusted any more.

A key's name is its RFC 7638 thumbprint, computed anew, whatever `kid` the set gives it. Two kinds of revocation
(`service.domain.signing`): nothing that a compromised key signed is trusted, because its thief can date a statement
back; what a withdrawn key signed is trusted if it is dated before the revocation, because only we could date it.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from service.domain.errors import InvalidInput
from service.domain.signing import RevocationReason
from service.evidence.keys import thumbprint


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A public key and what became of it. A retired one still vouches for what it signed."""

    kid: str
    public: Ed25519PublicKey
    retired_at: datetime | None = None
    revoked_at: datetime | None = None
    reason: RevocationReason | None = None

    def vouches_for(self, issued_at: datetime | None) -> bool:
        """Whether a statement that bears this date (None: none) may be trusted for this key's signature."""
        if self.revoked_at is None:
            return True
        if self.reason is not RevocationReason.withdrawn:
            return False
        return issued_at is not None and issued_at < self.revoked_at


KeySet = Mapping[str, PublishedKey]
"""Published keys by their name."""


def read_key_set(document: object) -> KeySet:
    """The Ed25519 keys of a JSON Web Key Set; keys of other kinds are passed over.

    Raises:
        InvalidInput: this is no key set, or a key is malformed.
    """
    try:
        keys = document["keys"]  # type: ignore[index]
        read = [_key(jwk) for jwk in keys if jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519"]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidInput(
            "This is no JSON Web Key Set.",
            fix="Take the one that the service publishes at /.well-known/jwks.json.",
            code="not-a-key-set",
        ) from None
    return {key.kid: key for key in read}


def _key(jwk: Mapping[str, Any]) -> PublishedKey:
    revoked_at = _moment(jwk.get("lethe_revoked_at"))
    return PublishedKey(
        kid=thumbprint(jwk),
        public=Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "==")),
        retired_at=_moment(jwk.get("lethe_retired_at")),
        revoked_at=revoked_at,
        reason=None if revoked_at is None else _reason(jwk.get("lethe_revocation_reason")),
    )


def _reason(value: object) -> RevocationReason:
    """A reason that we do not know is the worst one."""
    return RevocationReason.withdrawn if value == RevocationReason.withdrawn else RevocationReason.compromised


def _moment(value: str | None) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment
