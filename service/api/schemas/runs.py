"""Runs."""

from datetime import datetime

from pydantic import Field

from service.api.schemas.common import Failure, Output, Page
from service.domain.compaction import CompactionReason
from service.domain.runs import RunKind
from service.domain.states import RunState


class RunRead(Output):
    """One execution on one line."""

    id: str = Field(description="The run's id.", examples=["run_0192…"])
    adapter: str = Field(description="The line it works on.", examples=["support-bot"])
    kind: RunKind = Field(description="What it does.", examples=["influence"])
    strategy: str | None = Field(
        description="The strategy it carries out; null for training and importing.", examples=["influence"]
    )
    state: RunState = Field(description="Treat an unknown state as not finished.", examples=["running"])
    is_terminal: bool = Field(description="Whether its state is final.", examples=[False])
    stage: str | None = Field(description="What it is doing now.", examples=["solving"])
    progress: float = Field(description="Share of the stage that is done, 0 to 1.", examples=[0.4])
    attempt: int = Field(description="How often a worker took it.", examples=[1])
    not_before: datetime | None = Field(description="When it may begin at the earliest; null: at once.")
    waiting_for: str | None = Field(
        description="Why it does not start: its policy's `window` or `quiet_hours`, a worker of its pool, an anchor, "
        "another run, idle workers.",
        examples=["worker in pool gpu-80g"],
    )
    because: CompactionReason | None = Field(
        description="Why the policy had it queued, of a rebuild that nobody asked for.", examples=["age"]
    )
    requests: list[str] = Field(description="The unlearning requests it serves.", examples=[["req_0192…"]])
    version: str | None = Field(description="The version it made or makes.", examples=["v2"])
    seconds: dict[str, float] | None = Field(description="Seconds a stage.", examples=[{"solving": 0.8}])
    failure: Failure | None = Field(description="Why it failed.")
    created_at: datetime = Field(description="When it was queued.")
    started_at: datetime | None = Field(description="When a worker took it last.")
    finished_at: datetime | None = Field(description="When it ended.")


class RunPage(Page[RunRead]):
    pass
