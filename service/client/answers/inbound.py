"""Endpoints that privacy platforms send to."""

from datetime import datetime

from pydantic import Field

from service.client.answers.common import Answer


class InboundSecret(Answer):
    """What verifies deliveries; `created_at`: since when."""

    id: str
    created_at: datetime


class InboundEndpoint(Answer):
    """Where a privacy platform sends its requests to."""

    id: str
    provider: str
    name: str
    path: str
    lines: list[str] | None = None
    subject_kinds: dict[str, str] = Field(default_factory=dict)
    erasure_types: list[str] | None = None
    regulation: str | None = None
    agent_id: str | None = None
    business_id: str | None = None
    callback_hosts: list[str] | None = None
    secrets: list[InboundSecret] = Field(default_factory=list)
    created_at: datetime


class NewInboundEndpoint(InboundEndpoint):
    """`secret`: the new one, shown this once; None if it was given, or when the answer is repeated."""

    secret: str | None = None
