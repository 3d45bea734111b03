"""Inbound endpoints, and what a delivery is answered."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from service.api.schemas.common import Input, JsonObject, Output, Page
from service.domain.adapters import LineName
from service.domain.inbound import Provider
from service.domain.states import RequestState
from service.domain.subjects import SubjectKind

_ProviderName = Annotated[str, StringConstraints(min_length=1, max_length=63)]
_Secret = Annotated[str, StringConstraints(min_length=1, max_length=4096)]

NAME = Field(min_length=1, max_length=200, description="A name for people.", examples=["privacy desk"])
LINES = Field(
    default=None,
    min_length=1,
    max_length=1000,
    description="Adapter lines it may affect; null for all, future ones too.",
    examples=[["support-bot"]],
)
_KINDS_DESCRIPTION = "What the sender's names of identifiers are, beside those that the provider is known to use."
_KINDS_EXAMPLES = [{"customerNumber": "customer_id"}]
ERASURE_TYPES = Field(
    default=None,
    min_length=1,
    max_length=100,
    description="Types of events that ask for erasure, instead of the provider's own.",
    examples=[["user.deleted"]],
)
REGULATION = Field(
    default=None,
    pattern=r"^[a-z][a-z0-9_]{0,31}$",
    description="Whose clock runs if a delivery does not say it.",
    examples=["gdpr"],
)
_DirectoryId = Annotated[str, StringConstraints(pattern=r"^[!-.0-~]{1,120}$")]
AGENT = Field(default=None, description="Of the Data Rights Protocol: the agent's id.", examples=["PERMISSION_SLIP"])
BUSINESS = Field(default=None, description="Of the Data Rights Protocol: the business's id.", examples=["ACME_LTD"])
_Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.:-]{1,253}$")]
CALLBACK_HOSTS = Field(
    default=None,
    min_length=1,
    max_length=100,
    description="Of the Data Rights Protocol: hosts that its agent may have statuses sent to; null for none.",
    examples=[["agent.example.com"]],
)
SECRET = Field(
    default=None,
    description="What verifies deliveries: the secret that the sender has, or its public key. Without it one is made, "
    "unless the provider makes its own.",
    examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
)


class InboundEndpointCreate(Input):
    provider: Provider = Field(description="Who sends.", examples=["standard_webhooks"])
    name: str = NAME
    secret: _Secret | None = SECRET
    lines: list[LineName] | None = LINES
    subject_kinds: dict[_ProviderName, SubjectKind] = Field(
        default_factory=dict, max_length=100, description=_KINDS_DESCRIPTION, examples=_KINDS_EXAMPLES
    )
    erasure_types: list[_ProviderName] | None = ERASURE_TYPES
    regulation: str | None = REGULATION
    agent_id: _DirectoryId | None = AGENT
    business_id: _DirectoryId | None = BUSINESS
    callback_hosts: list[_Host] | None = CALLBACK_HOSTS


class InboundEndpointUpdate(Input):
    """Only what is to change."""

    name: str = Field(default_factory=str, min_length=1, max_length=200, description="A name for people.")
    lines: list[LineName] | None = LINES
    subject_kinds: dict[_ProviderName, SubjectKind] = Field(
        default_factory=dict, max_length=100, description=_KINDS_DESCRIPTION, examples=_KINDS_EXAMPLES
    )
    erasure_types: list[_ProviderName] | None = ERASURE_TYPES
    regulation: str | None = REGULATION
    callback_hosts: list[_Host] | None = CALLBACK_HOSTS


class InboundSecretCreate(Input):
    secret: _Secret | None = SECRET


class InboundSecretRead(Output):
    id: str = Field(description="The secret's id.", examples=["ins_0192…"])
    created_at: datetime = Field(description="Since when it is accepted.")


class InboundEndpointRead(Output):
    """Where a privacy platform sends its requests to."""

    id: str = Field(description="The endpoint's id; its requests name it as their creator.", examples=["inb_0192…"])
    provider: Provider = Field(description="Who sends.", examples=["standard_webhooks"])
    name: str = Field(description="A name for people.", examples=["privacy desk"])
    path: str = Field(
        description="Where to send to, below the URL of the service.",
        examples=["/v1/inbound/standard_webhooks/inb_0192…"],
    )
    lines: list[str] | None = Field(description="Adapter lines it may affect; null for all.")
    subject_kinds: dict[str, SubjectKind] = Field(description="What the sender's names of identifiers are.")
    erasure_types: list[str] | None = Field(
        description="Types of events that ask for erasure; null for the provider's own."
    )
    regulation: str | None = Field(description="Whose clock runs if a delivery does not say it.", examples=["gdpr"])
    agent_id: str | None = Field(description="The agent of the Data Rights Protocol.", examples=["PERMISSION_SLIP"])
    business_id: str | None = Field(description="The business that it asks.", examples=["ACME_LTD"])
    callback_hosts: list[str] | None = Field(description="Hosts that statuses may be sent to; null for none.")
    secrets: list[InboundSecretRead] = Field(description="What verifies deliveries, newest first; at most two.")
    created_at: datetime = Field(description="When it was made.")


class InboundEndpointCreated(InboundEndpointRead):
    secret: str | None = Field(
        description="The new secret, for the sender. Shown this once; null if it was given, or when the answer is "
        "repeated.",
        examples=["whsec_…"],
    )


class InboundEndpointPage(Page[InboundEndpointRead]):
    pass


class InboundAnswer(Output):
    """What became of a delivery. Every repetition is answered alike."""

    request: str | None = Field(
        description="The unlearning request; null if the delivery asks for nothing that Lethe does.",
        examples=["req_0192…"],
    )
    state: RequestState | None = Field(description="How far it is.", examples=["queued"])
    due_at: datetime | None = Field(description="When it must be answered.")
    repeated: bool = Field(description="Whether an earlier delivery made the request.", examples=[False])
    ignored: str | None = Field(description="Why nothing was filed; null if something was.")
    receipt: JsonObject | None = Field(
        description="Signed proof of receipt: an in-toto statement in a DSSE envelope, with a keyed hash of the body."
    )
