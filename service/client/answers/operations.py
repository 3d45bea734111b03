"""The feed, the audit chain, keys, and whether the service is well."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from service.client.answers.common import Answer


class Event(Answer):
    """A line of the feed; its `id` is its place there."""

    id: int
    type: str
    created_at: datetime
    adapter: str | None = None
    request: str | None = None
    run: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class EventPage(Answer):
    """Events, oldest first. `next_cursor` goes on after the last of them, also when there is nothing more yet."""

    items: list[Event]
    next_cursor: str


class AuditRow(Answer):
    seq: int
    created_at: datetime
    actor: str
    action: str
    data: Mapping[str, Any]
    hash: str


class AuditHead(Answer):
    """The newest row of the audit chain, signed; `envelope` is a DSSE envelope."""

    position: int
    seq: int
    hash: str
    issued_at: datetime
    envelope: Mapping[str, Any]


class ApiKey(Answer):
    id: str
    name: str
    scopes: list[str]
    lines: list[str] | None = None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    person: str | None = None


class NewApiKey(ApiKey):
    """`token`: the key itself, shown this once; None when the answer is repeated."""

    token: str | None = None


class RotatedApiKey(NewApiKey):
    """`previous_until`: when what was sent for the key before stops working."""

    previous_until: datetime


class SigningKey(Answer):
    kid: str
    purpose: str
    created_at: datetime
    retired_at: datetime | None = None
    revoked_at: datetime | None = None
    revocation_reason: str | None = None


class Live(Answer):
    status: str


class Ready(Answer):
    """`degraded`: requests are accepted, but runs wait. `workers`: how many there are in each pool.

    `erasures_pending`: after an older database was restored, how much has to be erased again before anything is
    served; None if that cannot be told.
    """

    status: str
    database: bool
    schema_current: bool
    erasures_current: bool
    erasures_pending: int | None
    redis: bool
    workers: dict[str, int] = Field(default_factory=dict)


class ServiceVersion(Answer):
    version: str
    api: str
