"""Inference servers that Lethe drives."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from service.client.answers.common import Answer


class ReplicaFailure(Answer):
    """Why a replica does not serve what it shall; `permanent`: it is not tried again with this version."""

    code: str
    detail: str
    permanent: bool = False


class Replica(Answer):
    """One line on one server."""

    id: str
    url: str
    adapter: str
    state: str
    desired: str | None = None
    desired_at: datetime
    proven: str | None = None
    proven_at: datetime | None = None
    outcome: str | None = None
    loaded: list[str] = Field(default_factory=list)
    step: str | None = None
    failure: ReplicaFailure | None = None
    attempts: int = 0
    checked_at: datetime | None = None
    due_at: datetime


class ServingTarget(Answer):
    """Servers of one kind that follow an alias of some lines."""

    id: str
    name: str
    kind: str
    state: str
    lines: list[str]
    alias: str
    mount: str
    precision: str
    limits: dict[str, Any] = Field(default_factory=dict)
    has_api_key: bool = False
    created_at: datetime
    replicas: list[Replica] = Field(default_factory=list)


class SwapReceipt(Answer):
    """A signed statement that a replica serves a version which covers a request; `envelope` is a DSSE envelope."""

    id: str
    adapter: str
    version: str
    replica: str
    outcome: str
    seconds: float
    created_at: datetime
    envelope: Mapping[str, Any]
