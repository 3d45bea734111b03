"""API keys."""

from datetime import datetime

from pydantic import Field

from service.api.schemas.common import Input, Output, Page
from service.domain.adapters import LineName
from service.domain.clocks import Moment
from service.domain.scalars import Whole
from service.domain.scopes import Scope

ROTATION_OVERLAP_S, LONGEST_OVERLAP_S = 86_400, 30 * 86_400


class KeyCreate(Input):
    name: str = Field(min_length=1, max_length=200, description="A name for people.", examples=["privacy desk"])
    scopes: list[Scope] = Field(min_length=1, description="What it may do.", examples=[["requests:create"]])
    lines: list[LineName] | None = Field(
        default=None,
        max_length=1000,
        description="Adapter lines it is bound to; it does not see others.",
        examples=[["support-bot"]],
    )
    expires_at: Moment | None = Field(default=None, description="When it stops working.")


class KeyRead(Output):
    id: str = Field(description="The key's id, as the audit chain names it.", examples=["key_0192…"])
    name: str = Field(description="A name for people.", examples=["privacy desk"])
    scopes: list[Scope] = Field(description="What it may do.", examples=[["requests:create"]])
    lines: list[str] | None = Field(description="Lines it is bound to; null for all.", examples=[["support-bot"]])
    created_at: datetime = Field(description="When it was made.")
    expires_at: datetime | None = Field(description="When it stops working.")
    revoked_at: datetime | None = Field(description="When it was revoked.")
    last_used_at: datetime | None = Field(description="When it was last used, to some minutes.")
    person: str | None = Field(
        description="The person of the identity provider who made it, and as whom it counts where two people are "
        "asked for.",
        examples=["oidc:3f6c…"],
    )


class KeyCreated(KeyRead):
    token: str | None = Field(
        description="The key itself. Shown this once; null when the answer is repeated.", examples=["lethe_…"]
    )


class KeyRotation(Input):
    overlap_s: Whole = Field(
        default=ROTATION_OVERLAP_S,
        ge=0,
        le=LONGEST_OVERLAP_S,
        description="For how many seconds what was sent for the key so far works too; 0 if it has leaked.",
        examples=[86_400],
    )


class KeyRotated(KeyCreated):
    previous_until: datetime = Field(description="When what was sent for the key before stops working.")


class KeyPage(Page[KeyRead]):
    pass
