"""Signing keys: replace the one that signs, revoke one, publish all."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from service.domain.errors import Conflict, NotFound
from service.domain.signing import KeyPurpose, RevocationReason
from service.evidence.statements import timestamp
from service.flows.vault import Vault, new_signing_key
from service.store.database import Unit
from service.store.tables import SigningKey


def rotate_signing_key(unit: Unit, vault: Vault, purpose: KeyPurpose, *, actor: str) -> SigningKey:
    """A new key that signs from now on. The one before is retired; what it signed stays valid."""
    before = unit.access.signing_now(purpose, retire=True)
    if before is not None:
        before.retired_at = unit.now
    row = new_signing_key(unit, vault.sealer, purpose)
    retired = None if before is None else before.kid
    unit.audit(actor, "signing_key.rotated", kid=row.kid, retired=retired)
    unit.emit("signing_key.rotated", kid=row.kid, retired=retired)
    return row


def revoke_signing_key(unit: Unit, vault: Vault, kid: str, *, reason: RevocationReason, actor: str) -> SigningKey:
    """Say that a key is not to be trusted any more, and for what reason. The one that signs is replaced first.

    A withdrawn key may turn out to be compromised, and be revoked again; never the other way round.

    Raises:
        NotFound: there is no such key.
        Conflict: it is known to be compromised.
    """
    row = unit.access.signing_key(kid)
    if row is None:
        raise NotFound(
            "There is no such signing key.", field="kid", fix="List them with GET /v1/signing-keys.",
            code="unknown-signing-key",
        )  # fmt: skip
    if row.revocation_reason is reason:
        return row
    if row.revocation_reason is RevocationReason.compromised:
        raise Conflict(
            "The key is compromised, which cannot be taken back.", field="/reason", fix="Leave it as it is.",
            code="key-compromised",
        )  # fmt: skip
    if row.retired_at is None:
        rotate_signing_key(unit, vault, row.purpose, actor=actor)
    row.revoked_at, row.revocation_reason = row.revoked_at or unit.now, reason
    unit.audit(actor, "signing_key.revoked", kid=kid, reason=reason)
    unit.emit("signing_key.revoked", kid=kid, reason=reason)
    return row


def published_keys(unit: Unit) -> Sequence[Mapping[str, object]]:
    """The public keys, newest first, with what became of them."""
    return [
        {
            **row.jwk,
            "lethe_retired_at": _moment(row.retired_at),
            "lethe_revoked_at": _moment(row.revoked_at),
            "lethe_revocation_reason": row.revocation_reason,
        }
        for row in unit.access.signing_keys()
    ]


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
