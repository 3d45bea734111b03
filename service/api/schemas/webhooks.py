"""Webhook endpoints, what is delivered to them, and the messages themselves."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from service.api.schemas.common import Input, JsonObject, Output, Page
from service.domain.adapters import LineName
from service.domain.clocks import Moment
from service.domain.events import FILTER, known_filters
from service.domain.scalars import Flag, Whole
from service.domain.webhooks import (
    LONGEST_OVERLAP,
    ROTATION_OVERLAP,
    AttemptError,
    DeliveryState,
    DisabledReason,
    SignatureScheme,
)

Filter = Annotated[
    str, Field(pattern=f"^{FILTER.pattern}$", max_length=64, json_schema_extra={"enum": list(known_filters())})
]

Url = Annotated[
    str,
    Field(
        max_length=2000,
        pattern=r"^https?://",
        examples=["https://example.com/lethe"],
        json_schema_extra={"format": "uri"},
    ),
]
Description = Annotated[str, Field(max_length=200, examples=["privacy desk"])]
Filters = Annotated[list[Filter], Field(min_length=1, max_length=100, examples=[["request.*", "certificate.issued"]])]
Lines = Annotated[list[LineName], Field(min_length=1, max_length=1000, examples=[["support-bot"]])]

_URL = "Where messages are posted to. Redirects are not followed."
_TYPES = "Types of events it is told of, or `request.*` for all of a kind; null for all but `run.progress`."
_LINES = "Adapter lines it is told of, with the requests that affect them; null for everything."
_SCHEME = "`ed25519`: you verify with a public key. `hmac`: with a secret that both sides hold."


class WebhookEndpointCreate(Input):
    url: Url = Field(description=_URL)
    description: Description | None = Field(default=None, description="A note for people.")
    event_types: Filters | None = Field(default=None, description=_TYPES)
    lines: Lines | None = Field(default=None, description=_LINES)
    enabled: Flag = Field(default=True, description="Whether it is told of anything.")
    scheme: SignatureScheme = Field(default=SignatureScheme.ed25519, description=_SCHEME, examples=["ed25519"])


class WebhookEndpointUpdate(Input):
    """What is left out stays as it is."""

    url: Url | None = Field(default=None, description=f"{_URL} Null: as it is.")
    description: Description | None = Field(default=None, description="A note for people.")
    event_types: Filters | None = Field(default=None, description=_TYPES)
    lines: Lines | None = Field(default=None, description=_LINES)
    enabled: Flag | None = Field(
        default=None,
        description="False cancels what is pending. True begins with what happens from then on; recover the rest.",
    )


class SecretRotation(Input):
    scheme: SignatureScheme | None = Field(
        default=None, description=f"{_SCHEME} Null: as before.", examples=["ed25519"]
    )
    overlap_s: Whole = Field(
        default=int(ROTATION_OVERLAP.total_seconds()),
        ge=0,
        le=int(LONGEST_OVERLAP.total_seconds()),
        description="How long the keys before go on signing beside the new one; 0 if one is compromised.",
        examples=[86_400],
    )


class Recovery(Input):
    since: Moment = Field(description="Whatever happened since and was not delivered is; thirty days back at most.")


class WebhookKeyRead(Output):
    """A key that signs."""

    scheme: SignatureScheme = Field(description=_SCHEME, examples=["ed25519"])
    public_key: str | None = Field(description="The public key; null for a shared secret.", examples=["whpk_…"])
    created_at: datetime = Field(description="When it began to sign.")
    expires_at: datetime | None = Field(description="When it stops, if it was replaced.")


class WebhookEndpointRead(Output):
    id: str = Field(description="The endpoint's id.", examples=["whe_0192…"])
    url: str = Field(description="Where messages are posted to.", examples=["https://example.com/lethe"])
    description: str | None = Field(description="A note for people.", examples=["privacy desk"])
    event_types: list[str] | None = Field(description="Its filter of types.", examples=[["request.*"]])
    lines: list[str] | None = Field(description="Its filter of lines.", examples=[["support-bot"]])
    enabled: bool = Field(description="Whether it is told of anything.")
    disabled_at: datetime | None = Field(description="Since when it is not.")
    disabled_reason: DisabledReason | None = Field(
        description="`requested`, `gone` (it answered 410), or `failing` (nothing arrived for five days).",
        examples=["gone"],
    )
    failing_since: datetime | None = Field(description="Since when nothing has arrived there; null if all is well.")
    keys: list[WebhookKeyRead] = Field(description="The keys that sign, newest first; each signs every message.")
    created_at: datetime = Field(description="When it was made.")


class WebhookEndpointSecret(WebhookEndpointRead):
    secret: str | None = Field(
        description="The new secret of the scheme `hmac`. Shown this once; null when the answer is repeated.",
        examples=["whsec_…"],
    )


class WebhookEndpointPage(Page[WebhookEndpointRead]):
    pass


class AttemptRead(Output):
    """One attempt to deliver."""

    at: datetime = Field(description="When it ended.")
    status: int | None = Field(description="The status of the answer; null without one.", examples=[204])
    error: AttemptError | None = Field(description="Why there was no answer.", examples=["timeout"])
    seconds: float = Field(description="How long it took.", examples=[0.05])


class WebhookMessage(Output):
    """The body of every message. Ids and states only: read the rest with the API."""

    type: str = Field(description="What happened.", examples=["request.state"])
    timestamp: datetime = Field(description="When it happened.")
    data: JsonObject = Field(
        description="`event`: its number in the feed; `adapter`, `request`, `run`: what it concerns; details.",
        examples=[{"event": 42, "adapter": None, "request": "req_0192…", "run": None, "state": "succeeded"}],
    )


class WebhookDeliveryRead(Output):
    id: str = Field(description="The message's id, in its header `webhook-id`.", examples=["whd_0192…"])
    endpoint: str = Field(description="Where it goes.", examples=["whe_0192…"])
    state: DeliveryState = Field(description="How far it is.", examples=["delivered"])
    message: WebhookMessage = Field(description="What is told.")
    attempts: list[AttemptRead] = Field(description="What came of the newest fifty attempts, oldest first.")
    next_attempt_at: datetime | None = Field(description="When it is tried next; null once it ended.")
    created_at: datetime = Field(description="When it was noted.")
    finished_at: datetime | None = Field(description="When it ended; it is kept for thirty days.")


class WebhookDeliveryPage(Page[WebhookDeliveryRead]):
    pass
