"""Webhook endpoints, and what is delivered to them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from service.client.answers.common import Answer


class WebhookKey(Answer):
    """A key that signs; `public_key`: what verifies, None for a shared secret."""

    scheme: str
    public_key: str | None = None
    created_at: datetime
    expires_at: datetime | None = None


class WebhookEndpoint(Answer):
    """A URL that is told of what happens."""

    id: str
    url: str
    description: str | None = None
    event_types: list[str] | None = None
    lines: list[str] | None = None
    enabled: bool
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    failing_since: datetime | None = None
    keys: list[WebhookKey] = Field(default_factory=list)
    created_at: datetime


class NewWebhookSecret(WebhookEndpoint):
    """`secret`: the new shared one, shown this once; None for Ed25519, or when the answer is repeated."""

    secret: str | None = None


class WebhookAttempt(Answer):
    """What came of one attempt: the status of an answer, or an error."""

    at: datetime
    status: int | None = None
    error: str | None = None
    seconds: float


class StatusCallback(Answer):
    """Who is told of a request's status by the protocol that it came by."""

    id: str
    protocol: str
    url: str
    state: str
    attempts: list[WebhookAttempt] = Field(default_factory=list)
    next_attempt_at: datetime | None = None
    created_at: datetime


class WebhookMessage(Answer):
    """What is told."""

    type: str
    timestamp: datetime
    data: Mapping[str, Any]


class WebhookDelivery(Answer):
    """One message to one endpoint; `id` is also in its header `webhook-id`."""

    id: str
    endpoint: str
    state: str
    message: WebhookMessage
    attempts: list[WebhookAttempt] = Field(default_factory=list)
    next_attempt_at: datetime | None = None
    created_at: datetime
    finished_at: datetime | None = None
