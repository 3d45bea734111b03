"""Datasets, adapter lines, their aliases, and versions."""

from datetime import datetime
from typing import Any

from pydantic import Field

from service.client.answers.common import Answer, Failure
from service.domain.adapters import ClaimLevel


class Dataset(Answer):
    id: str
    name: str | None = None
    instance_count: int
    subject_count: int
    duplicate_count: int
    subjects_indexed: bool = True
    created_at: datetime


class Capability(Answer):
    """Whether a strategy or claim is supported, and why not."""

    name: str
    supported: bool
    reason: str | None = None


class BaseModelInfo(Answer):
    path: str
    revision: str | None = None
    digest: str | None = None


class Compaction(Answer):
    """When and why a line's ledger will be compacted."""

    due_at: datetime
    because: str | None = None


class Line(Answer):
    """An adapter line: its policy, its newest version in service, its anchor, its aliases."""

    name: str
    state: str
    base_model: BaseModelInfo
    policy: dict[str, Any] = Field(default_factory=dict)
    pool: str = "default"
    head: str | None = None
    anchor: str | None = None
    aliases: dict[str, str] = Field(default_factory=dict)
    capabilities: list[Capability] = Field(default_factory=list)
    rebuild_due_at: datetime | None = None
    compaction: Compaction | None = None
    created_at: datetime
    retired_at: datetime | None = None
    retired_by: str | None = None
    retired_reason: str | None = None


class Canary(Answer):
    """A version on trial beside an alias's own; `waits_for`: what its promotion still waits for."""

    version: str
    id: str
    weight: float
    since: datetime
    rules: dict[str, Any]
    measured: dict[str, float] = Field(default_factory=dict)
    waits_for: list[str] = Field(default_factory=list)


class Alias(Answer):
    adapter: str
    alias: str
    version: str
    id: str
    digest: str | None = None
    updated_at: datetime
    canary: Canary | None = None


class StoredFile(Answer):
    """A file of a version; `sha256` in hex."""

    size: int
    sha256: str


class NamesElsewhere(Answer):
    """What clients that have names of their own call a version."""

    hub: str | None = None
    lorax: str


class Version(Answer):
    """An immutable, content-addressed adapter."""

    id: str
    names: NamesElsewhere
    adapter: str
    version: str
    state: str
    kind: str
    digest: str | None = None
    files: dict[str, StoredFile] | None = None
    parent: str | None = None
    anchor: str | None = None
    claim_level: ClaimLevel | None = None
    aliases: list[str] = Field(default_factory=list)
    rolls_forward: str | None = None
    run: str | None = None
    dataset: str
    holdout: str | None = None
    recipe: dict[str, Any] | None = None
    training_format: dict[str, Any] = Field(default_factory=dict)
    capabilities: list[Capability] = Field(default_factory=list)
    measurements: dict[str, Any] | None = None
    rejection: Failure | None = None
    created_at: datetime
    ready_at: datetime | None = None
    withdraw_at: datetime | None = None
    withdrawn_at: datetime | None = None


class RollForwardPlan(Answer):
    """What a roll-forward would train."""

    version: str
    anchor: str
    recipe: dict[str, Any]
    dataset: str
    instances: int
    replayed: int
    estimated_seconds: float | None = None
