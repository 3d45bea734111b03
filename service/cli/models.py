"""What the service answers, as this client reads it: unknown members are ignored, unknown states are not final."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.domain.adapters import ClaimLevel


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Failure(_Answer):
    """Why something did not work out."""

    code: str
    detail: str


class Dataset(_Answer):
    id: str
    name: str | None = None
    instance_count: int
    subject_count: int
    duplicate_count: int
    created_at: datetime


class Capability(_Answer):
    name: str
    supported: bool
    reason: str | None = None


class StoredFile(_Answer):
    """A file of a version; `sha256` in hex."""

    size: int
    sha256: str


class Version(_Answer):
    adapter: str
    version: str
    kind: str
    state: str
    created_at: datetime
    ready_at: datetime | None = None
    withdraw_at: datetime | None = None
    run: str | None = None
    parent: str | None = None
    anchor: str | None = None
    claim_level: ClaimLevel | None = None
    digest: str | None = None
    files: dict[str, StoredFile] | None = None
    aliases: list[str] = Field(default_factory=list)
    capabilities: list[Capability] = Field(default_factory=list)
    rejection: Failure | None = None


class BaseModelInfo(_Answer):
    path: str
    revision: str | None = None
    digest: str | None = None


class Line(_Answer):
    """An adapter line: its policy, its newest version in service, its anchor, its aliases."""

    name: str
    state: str
    base_model: BaseModelInfo
    policy: dict[str, Any] = Field(default_factory=dict)
    head: str | None = None
    anchor: str | None = None
    aliases: dict[str, str] = Field(default_factory=dict)


class Target(_Answer):
    adapter: str
    state: str
    run: str | None = None
    version: str | None = None
    claim_level: ClaimLevel | None = None
    strategy: str | None = None


class Request(_Answer):
    id: str
    state: str
    is_terminal: bool
    outcome: str | None = None
    on_hold: bool = False
    created_at: datetime
    due_at: datetime
    client_reference: str | None = None
    targets: list[Target] = Field(default_factory=list)
    failure: Failure | None = None


class Run(_Answer):
    id: str
    adapter: str
    kind: str
    state: str
    is_terminal: bool
    version: str | None = None
    stage: str | None = None
    progress: float = 0.0
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    seconds: dict[str, float] | None = None
    waiting_for: str | None = None
    failure: Failure | None = None


class Replica(_Answer):
    """One line on one server."""

    id: str
    url: str
    adapter: str
    state: str
    desired: str | None = None
    proven: str | None = None
    proven_at: datetime | None = None
    outcome: str | None = None
    step: str | None = None
    failure: Failure | None = None


class ServingTarget(_Answer):
    id: str
    name: str
    kind: str
    state: str
    lines: list[str]
    alias: str
    mount: str
    replicas: list[Replica] = Field(default_factory=list)


class SigningKey(_Answer):
    kid: str
    purpose: str
    created_at: datetime
    retired_at: datetime | None = None
    revoked_at: datetime | None = None
    revocation_reason: str | None = None


class InboundEndpoint(_Answer):
    """Where a privacy platform sends to. `secret`: the new one, once."""

    id: str
    provider: str
    name: str
    path: str
    lines: list[str] | None = None
    subject_kinds: dict[str, str] = Field(default_factory=dict)
    regulation: str | None = None
    created_at: datetime
    secret: str | None = None


class NearDuplicate(_Answer):
    instance: str
    of: str
    similarity: float


class LinePlan(_Answer):
    adapter: str
    version: str
    removals: int
    corrections: int
    exact_duplicates: int
    share: float
    strategy: str
    reason: str
    needs_approval: bool
    retires_line: bool
    estimated_seconds: float | None = None
    claim_level: ClaimLevel
    grade: str | None = None
    predicted_fidelity: float | None = None
    near_duplicates: list[NearDuplicate] = Field(default_factory=list)


class Plan(_Answer):
    lines: list[LinePlan]
    unindexed: list[str] = Field(default_factory=list)


class MeasuredRun(_Answer):
    """A run; `measurements` as its engine reported them."""

    run: str
    kind: str
    version: str | None = None
    measurements: dict[str, Any] | None = None


class Choice(_Answer):
    strategy: str
    reason: str


class LineReport(_Answer):
    adapter: str
    state: str
    version: str | None = None
    claim_level: ClaimLevel | None = None
    choices: list[Choice] = Field(default_factory=list)
    runs: list[MeasuredRun] = Field(default_factory=list)


class Report(_Answer):
    request: str
    state: str
    targets: list[LineReport]


class Event(_Answer):
    """A line of the feed; its `id` is its place there."""

    id: int
    type: str
    created_at: datetime
    adapter: str | None = None
    request: str | None = None
    run: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)
