"""The events feed and the audit chain."""

from datetime import datetime

from pydantic import Field

from service.api.schemas.common import JsonObject, Output, Page


class EventRead(Output):
    """Something that happened. Ids and states only."""

    id: int = Field(description="Place in the feed; also the `id` of the server-sent event.", examples=[42])
    type: str = Field(description="What happened.", examples=["version.ready"])
    created_at: datetime = Field(description="When.")
    adapter: str | None = Field(description="The line it concerns.", examples=["support-bot"])
    request: str | None = Field(description="The request it concerns.", examples=["req_0192…"])
    run: str | None = Field(description="The run it concerns.", examples=["run_0192…"])
    data: JsonObject = Field(description="Details.", examples=[{"version": 2}])


class EventPage(Output):
    items: list[EventRead] = Field(description="Oldest first.")
    next_cursor: str = Field(description="Goes on after the last item, also when there is nothing more yet.")


class AuditRowRead(Output):
    """A row of the hash chain."""

    seq: int = Field(description="Place in the chain.", examples=[7])
    created_at: datetime = Field(description="When.")
    actor: str = Field(description="Who: a key, a worker, or the service itself.", examples=["key_0192…"])
    action: str = Field(description="What was done.", examples=["request.approved"])
    data: JsonObject = Field(description="To what.", examples=[{"request": "req_0192…"}])
    hash: str = Field(description="SHA-256 over the previous hash and this row.", examples=["9f86d08…"])


class AuditPage(Page[AuditRowRead]):
    pass


class AuditHeadRead(Output):
    """The newest row of the chain, signed: with it a cut at the end of an export shows."""

    position: int = Field(description="How many rows there are up to it.", examples=[7])
    seq: int = Field(description="Its `seq`; 0 if there is none.", examples=[7])
    hash: str = Field(description="Its hash.", examples=["9f86d08…"])
    issued_at: datetime = Field(description="When this was signed.")
    envelope: JsonObject = Field(description="The same as a statement in a DSSE envelope.")
