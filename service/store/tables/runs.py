"""Runs, the workers that hold them, and the outbox that tells RQ about them."""

from datetime import datetime

from sqlalchemy import Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from service.domain.compaction import CompactionReason
from service.domain.runs import Lane, RunKind
from service.domain.scheduling import Wait
from service.domain.states import RunState
from service.store.tables.base import Base, Json, UtcDateTime, enum_type, identifier


class Run(Base):
    """One execution on one line.

    A lane holds at most one queued and one running run, so requests that arrive meanwhile coalesce in
    the queued one. `fence` counts claims: a write that carries an older fence is refused. `anchor_id`: the
    line's anchor when it was last claimed.

    `not_before`: when it may begin as far as was known when that was last looked at, and `waits_for`, what for; none
    if at once. `urgent`: somebody asked for it to begin at once. `because`: why a policy had it queued.
    """

    __tablename__ = "runs"
    __table_args__ = (
        Index("ux_runs_queued", "line_id", "lane", unique=True,
              sqlite_where=text("state = 'queued'"), postgresql_where=text("state = 'queued'")),
        Index("ux_runs_running", "line_id", "lane", unique=True,
              sqlite_where=text("state = 'running'"), postgresql_where=text("state = 'running'")),
        Index("ix_runs_state", "state"),
    )  # fmt: skip

    id: Mapped[str] = identifier()
    line_id: Mapped[str] = mapped_column(String(48))
    kind: Mapped[RunKind] = mapped_column(enum_type(RunKind))
    lane: Mapped[Lane] = mapped_column(enum_type(Lane))
    state: Mapped[RunState] = mapped_column(enum_type(RunState))
    pool: Mapped[str] = mapped_column(String(63))
    version_id: Mapped[str | None] = mapped_column(String(48))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    hinted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)
    waits_for: Mapped[Wait | None] = mapped_column(enum_type(Wait))
    urgent: Mapped[bool] = mapped_column(default=False)
    because: Mapped[CompactionReason | None] = mapped_column(enum_type(CompactionReason))
    attempt: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    worker: Mapped[str | None] = mapped_column(String(200))
    frozen_seq: Mapped[int | None]
    anchor_id: Mapped[str | None] = mapped_column(String(48))
    stage: Mapped[str | None] = mapped_column(String(32))
    progress: Mapped[float] = mapped_column(default=0.0)
    checkpoint: Mapped[str | None] = mapped_column(String(200))
    swept: Mapped[bool] = mapped_column(default=False)
    seconds: Mapped[Json | None]
    report: Mapped[Json | None]
    failure: Mapped[Json | None]


class WorkerRow(Base):
    """A live supervisor. `pool` is the one RQ queue it serves."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    pool: Mapped[str] = mapped_column(String(63))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    run_id: Mapped[str | None] = mapped_column(String(48))


class OutboxRow(Base):
    """A hint for RQ, written in the transaction that made the work and sent after it, but not before its time."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(String(48))
    pool: Mapped[str] = mapped_column(String(63))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
