"""Adapter lines, their versions, aliases and ledgers."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.domain.adapters import ClaimLevel
from service.domain.compaction import CompactionReason
from service.domain.states import VersionState
from service.store.tables.base import Base, Json, UtcDateTime, enum_type, identifier


class Line(Base):
    """A named adapter on one base model. `anchor_id`: the version every update is solved from.

    `rebuild_because`: why its ledger is due when it is.
    """

    __tablename__ = "lines"

    id: Mapped[str] = identifier()
    name: Mapped[str] = mapped_column(String(63), unique=True)
    base_path: Mapped[str] = mapped_column(String(1000))
    base_revision: Mapped[str | None] = mapped_column(String(200))
    base_digest: Mapped[str | None] = mapped_column(String(80))
    policy: Mapped[Json]
    pool: Mapped[str] = mapped_column(String(63))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(48))
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    retired_by: Mapped[str | None] = mapped_column(String(48))
    retired_reason: Mapped[str | None] = mapped_column(String(500))
    next_number: Mapped[int] = mapped_column(default=1)
    ledger_head: Mapped[int] = mapped_column(default=0)
    anchor_id: Mapped[str | None] = mapped_column(String(48))
    head_id: Mapped[str | None] = mapped_column(String(48))
    rebuild_due_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    rebuild_because: Mapped[CompactionReason | None] = mapped_column(enum_type(CompactionReason))


class Version(Base):
    """An immutable adapter. It covers every ledger entry up to `ledger_seq`.

    `out_of_fold` lists the finished folds of an anchor: prefix and files of its predictions, and how many remained.
    `probe` is large, so it is read only where it is asked for.
    """

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("line_id", "number"),)

    id: Mapped[str] = identifier()
    line_id: Mapped[str] = mapped_column(ForeignKey("lines.id"), index=True)
    number: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[VersionState] = mapped_column(enum_type(VersionState))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ready_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    withdraw_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    run_id: Mapped[str | None] = mapped_column(String(48))
    parent_id: Mapped[str | None] = mapped_column(String(48))
    anchor_id: Mapped[str | None] = mapped_column(String(48))
    ledger_seq: Mapped[int] = mapped_column(default=0)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    holdout_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id"))
    recipe: Mapped[Json | None]
    training_format: Mapped[Json]
    source: Mapped[Json]
    claim_level: Mapped[ClaimLevel | None] = mapped_column(enum_type(ClaimLevel))
    digest: Mapped[str | None] = mapped_column(String(80))
    files: Mapped[Json | None]
    blob_prefix: Mapped[str | None] = mapped_column(String(200))
    artefacts_prefix: Mapped[str | None] = mapped_column(String(200))
    artefacts: Mapped[Json | None]
    out_of_fold: Mapped[list[Json] | None]
    capabilities: Mapped[list[Json] | None]
    measurements: Mapped[Json | None]
    rejection: Mapped[Json | None]
    probe: Mapped[Json | None] = mapped_column(deferred=True)


class Alias(Base):
    """`canary_id`: a version on trial; since when, by which rules, and the newest value of each metric measured."""

    __tablename__ = "aliases"

    line_id: Mapped[str] = mapped_column(ForeignKey("lines.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("versions.id"))
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    canary_id: Mapped[str | None] = mapped_column(String(48))
    canary_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    canary_rules: Mapped[Json | None]
    canary_measured: Mapped[Json | None]


class LedgerEntry(Base):
    """One published edit of one instance. `text_id` holds its new content; none if it was removed.

    `baked_id` is the first anchor that was trained with this entry applied: such entries are no longer
    part of the ledger that updates are solved for.
    """

    __tablename__ = "ledger_entries"
    __table_args__ = (
        UniqueConstraint("line_id", "seq"),
        Index("ix_ledger_entries_line_id_instance_id", "line_id", "instance_id"),
    )

    id: Mapped[str] = identifier()
    line_id: Mapped[str] = mapped_column(ForeignKey("lines.id"))
    seq: Mapped[int]
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    instance_id: Mapped[str] = mapped_column(String(200))
    text_id: Mapped[str | None] = mapped_column(ForeignKey("texts.id"))
    target_id: Mapped[str] = mapped_column(ForeignKey("targets.id"), index=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("versions.id"))
    baked_id: Mapped[str | None] = mapped_column(ForeignKey("versions.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
