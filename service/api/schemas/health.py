"""Operations."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from service.api.schemas.common import Output
from service.domain.signing import RevocationReason


class Live(Output):
    status: Literal["ok"] = Field(description="The process answers.", examples=["ok"])


class Ready(Output):
    status: Literal["ready", "degraded", "unready"] = Field(
        description="`degraded`: requests are accepted, but runs wait.", examples=["ready"]
    )
    database: bool = Field(description="Whether the database answers.", examples=[True])
    schema_current: bool = Field(description="Whether its schema is the newest one.", examples=[True])
    erasures_current: bool = Field(
        description="Whether the database has everything that the erasure journal has. After a backup was restored it "
        "is false until what was erased since was done again.",
        examples=[True],
    )
    erasures_pending: int | None = Field(
        description="How many entries of the journal the database lacks; null if the journal cannot be read.",
        examples=[0],
    )
    redis: bool = Field(description="Whether Redis answers; without it, runs wait.", examples=[True])
    workers: dict[str, int] = Field(description="Live workers a pool.", examples=[{"default": 1}])


class VersionInfo(Output):
    version: str = Field(description="The service's version.", examples=["0.1.0"])
    api: str = Field(description="The API's version.", examples=["v1"])


class _Jwk(Output):
    kid: str = Field(description="RFC 7638 thumbprint.", examples=["kPrK_qmxVWaYVA9…"])
    use: str = Field(description="Signatures.", examples=["sig"])
    lethe_retired_at: datetime | None = Field(
        description="When it made way for another key; what it signed before is as good as ever. Null: it signs."
    )
    lethe_revoked_at: datetime | None = Field(description="When it was revoked. Null: it was not.")
    lethe_revocation_reason: RevocationReason | None = Field(
        description="`compromised`: trust nothing that it signed, whatever the date. `withdrawn`: trust only what is "
        "dated before the revocation.",
        examples=["withdrawn"],
    )


class StatementJwk(_Jwk):
    """A key that signs receipts, certificates and audit heads."""

    kty: Literal["OKP"] = Field(description="Key type.", examples=["OKP"])
    crv: str = Field(description="Curve.", examples=["Ed25519"])
    x: str = Field(description="Public key, base64url.", examples=["11qYAYKxCrfVS…"])
    alg: str = Field(description="Algorithm.", examples=["EdDSA"])


class ModelJwk(_Jwk):
    """A key that signs the files of versions."""

    kty: Literal["EC"] = Field(description="Key type.", examples=["EC"])
    crv: str = Field(description="Curve.", examples=["P-256"])
    x: str = Field(description="First coordinate of the public key, base64url.", examples=["f83OJ3D2xF1Bg8v…"])
    y: str = Field(description="Second coordinate, base64url.", examples=["x_FEzRu9m36HLN_…"])
    alg: str = Field(description="Algorithm.", examples=["ES256"])


Jwk = Annotated[StatementJwk | ModelJwk, Field(discriminator="kty")]


class JwkSet(Output):
    keys: list[Jwk] = Field(description="Every key that ever signed something, newest first.")
