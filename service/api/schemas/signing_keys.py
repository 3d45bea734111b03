"""Signing keys."""

from datetime import datetime

from pydantic import Field

from service.api.schemas.common import Input, Output
from service.domain.signing import KeyPurpose, RevocationReason


class SigningKeyRead(Output):
    """A key that signs or signed. The public part is in the key set."""

    kid: str = Field(description="RFC 7638 thumbprint.", examples=["kPrK_qmxVWaYVA9…"])
    purpose: KeyPurpose = Field(
        description="`statements`: receipts, certificates and audit heads (Ed25519). `models`: the files of versions "
        "(ECDSA on P-256).",
        examples=["statements"],
    )
    created_at: datetime = Field(description="When it began to sign.")
    retired_at: datetime | None = Field(description="When it made way for another key; null while it signs.")
    revoked_at: datetime | None = Field(description="When it was revoked; null if it was not.")
    revocation_reason: RevocationReason | None = Field(description="Why it was revoked.", examples=["withdrawn"])


class SigningKeyList(Output):
    items: list[SigningKeyRead] = Field(description="Newest first; the first one of each purpose signs.")


class Rotation(Input):
    purpose: KeyPurpose = Field(
        default=KeyPurpose.statements, description="Which key to replace.", examples=["statements"]
    )


class Revocation(Input):
    reason: RevocationReason = Field(
        description="`compromised`: others may have the private key, so nothing that it signed is trusted, whatever "
        "the date. `withdrawn`: out of use or destroyed; what it signed until now stays valid.",
        examples=["compromised"],
    )
