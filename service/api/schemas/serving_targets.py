"""Inference servers that Lethe drives, and how far each replica is."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator

from service.api.schemas.common import Input, JsonObject, Output, Page
from service.domain.adapters import AliasName, LineName
from service.domain.probes import ProbeOutcome
from service.domain.scalars import Whole
from service.domain.serving import Mount, Precision, ServerKind, ServerUrl, SwapStep

Url = Annotated[ServerUrl, Field(max_length=1000, json_schema_extra={"format": "uri", "pattern": "^https?://"})]
Module = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,100}$")]
ReplicaState = Literal["current", "behind", "failing"]


class Limits(Input):
    """What the servers were started with. Versions beyond it are refused before they are published."""

    max_lora_rank: Whole | None = Field(
        default=None, ge=1, le=4096, description="Highest rank; null: not known.", examples=[16]
    )
    target_modules: list[Module] | None = Field(
        default=None, max_length=100, description="Adapted modules; null: any.", examples=[["q_proj", "v_proj"]]
    )


class ServingTargetCreate(Input):
    name: LineName = Field(description="A name for people; unique.", examples=["chat-eu"])
    kind: ServerKind = Field(description="What kind of server it is.", examples=["vllm"])
    urls: list[Url] = Field(
        min_length=1,
        max_length=100,
        description="Base URL of each replica.",
        examples=[["http://vllm-0:8000"]],
        json_schema_extra={"uniqueItems": True},
    )
    lines: list[LineName] = Field(
        min_length=1,
        max_length=100,
        description="The adapter lines it serves.",
        examples=[["support-bot"]],
        json_schema_extra={"uniqueItems": True},
    )
    alias: AliasName = Field(default="production", description="The alias it follows.", examples=["production"])
    mount: Mount | None = Field(
        default=None,
        max_length=1000,
        description="Where the servers see LETHE_SERVING_DIR; null: at the same path.",
        examples=["/adapters"],
    )
    precision: Precision = Field(
        default=Precision.bfloat16, description="What the servers compute in.", examples=["bfloat16"]
    )
    limits: Limits = Field(default=Limits(), description="What the servers were started with.")
    api_key: SecretStr | None = Field(
        default=None, min_length=1, max_length=1000, description="Bearer token of the servers; stored sealed."
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.urls)) < len(self.urls) or len(set(self.lines)) < len(self.lines):
            raise ValueError("name each URL and each line once")
        return self


class ReplicaFailure(Output):
    """Why a replica does not serve what it shall."""

    code: str = Field(description="Stable name of the reason.", examples=["server-away"])
    detail: str = Field(description="What happened.", examples=["/v1/models: ConnectError"])
    permanent: bool = Field(description="Whether it is not tried again until another version is wanted.")


class ReplicaRead(Output):
    """One line on one server."""

    id: str = Field(description="The replica's id.", examples=["rep_0192…"])
    url: str = Field(description="The server.", examples=["http://vllm-0:8000"])
    adapter: str = Field(description="The line.", examples=["support-bot"])
    state: ReplicaState = Field(
        description="`current`: it serves what it shall. `behind`: it is on its way. `failing`: see `failure`."
    )
    desired: str | None = Field(description="The version it shall serve; null: none.", examples=["v3"])
    desired_at: datetime = Field(description="Since when.")
    proven: str | None = Field(description="The version that its answers have shown.", examples=["v2"])
    proven_at: datetime | None = Field(description="When.")
    outcome: ProbeOutcome | None = Field(
        description="`proven`, or `indistinct`: rounding does not let its answers tell this version from another one."
    )
    loaded: list[str] = Field(description="Versions that may be on the server.", examples=[["v2", "v3"]])
    step: SwapStep | None = Field(description="What is being done, or was when a process died.", examples=["drain"])
    failure: ReplicaFailure | None = Field(description="Why it does not serve what it shall.")
    attempts: int = Field(description="Failed attempts since it last did.", examples=[0])
    checked_at: datetime | None = Field(description="When the server was last looked at.")
    due_at: datetime = Field(description="When it will be looked at again.")


class ServingTargetRead(Output):
    id: str = Field(description="The target's id.", examples=["srv_0192…"])
    name: str = Field(description="A name for people.", examples=["chat-eu"])
    kind: ServerKind = Field(description="What kind of server it is.", examples=["vllm"])
    state: Literal["active", "leaving"] = Field(
        description="`leaving`: its replicas are being emptied, and then it is gone."
    )
    lines: list[str] = Field(description="The adapter lines it serves.", examples=[["support-bot"]])
    alias: str = Field(description="The alias it follows.", examples=["production"])
    mount: str = Field(description="Where the servers see LETHE_SERVING_DIR.", examples=["/adapters"])
    precision: Precision = Field(description="What the servers compute in.", examples=["bfloat16"])
    limits: Limits = Field(description="What the servers were started with.")
    has_api_key: bool = Field(description="Whether it has a key for the servers.")
    created_at: datetime = Field(description="When it was registered.")
    replicas: list[ReplicaRead] = Field(description="One a server and line.")


class ServingTargetPage(Page[ServingTargetRead]):
    pass


class SwapReceiptRead(Output):
    """A signed statement that a replica serves a version which covers the request."""

    id: str = Field(description="The receipt's id.", examples=["swap_0192…"])
    adapter: str = Field(description="The line.", examples=["support-bot"])
    version: str = Field(description="The version that is served.", examples=["v2"])
    replica: str = Field(description="The replica.", examples=["rep_0192…"])
    outcome: ProbeOutcome = Field(description="What its answers have shown.", examples=["proven"])
    seconds: float = Field(description="From the acceptance of the oldest request in that version.", examples=[12.5])
    created_at: datetime = Field(description="When it was signed.")
    envelope: JsonObject = Field(description="The statement in a DSSE envelope; verify with /.well-known/jwks.json.")


class SwapReceiptList(Output):
    items: list[SwapReceiptRead] = Field(description="Newest first, a line at a time.")
