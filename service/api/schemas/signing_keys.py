"""Signing keys."""

from datetime import datetime

from pydantic import Field

from service.api.schemas.common import Input, Output
from service.domain.signing import RevocationReason


class SigningKeyRead(Output):
    """A key that signs or signed receipts, certificates and audit heads. The public part is in the key set."""

    kid: str = Field(description="RFC 7638 thumbprint.", examples=["kPrK_qmxVWaYVA9…"])
    created_at: datetime = Field(description="When it began to sign.")
    retired_at: datetime | None = Field(description="When it made way for another key; null while it signs.")
    revoked_at: datetime | None = Field(description="When it was revoked; null if it was not.")
    revocation_reason: RevocationReason | None = Field(description="Why it was revoked.", examples=["withdrawn"])


class SigningKeyList(Output):
    items: list[SigningKeyRead] = Field(description="Newest first; the first one signs.")


class Revocation(Input):
    reason: RevocationReason = Field(
        description="`compromised`: others may have the private key, so nothing that it signed is trusted, whatever "
        "the date. `withdrawn`: out of use or destroyed; what it signed until now stays valid.",
        examples=["compromised"],
    )
