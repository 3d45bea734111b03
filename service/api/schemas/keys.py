"""API keys."""

from datetime import datetime

from pydantic import Field

from service.api.schemas.common import Input, Output, Page
from service.domain.adapters import LineName
from service.domain.clocks import Moment
from service.domain.scopes import Scope


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


class KeyCreated(KeyRead):
    token: str | None = Field(
        description="The key itself. Shown this once; null when the answer is repeated.", examples=["lethe_…"]
    )


class KeyPage(Page[KeyRead]):
    pass
