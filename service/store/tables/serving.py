"""Inference servers that Lethe drives, how far each replica is, and signed receipts of their swaps."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.domain.probes import ProbeOutcome
from service.domain.serving import Precision, ServerKind, SwapStep
from service.store.tables.base import Base, Json, UtcDateTime, enum_type, identifier


class ServingTarget(Base):
    """Replicas of one server, which follow an alias of some lines. `mount`: the adapter directory as they see it.

    The API key is sealed. `leaving_at`: since when the replicas are being emptied, after which the row goes.
    """

    __tablename__ = "serving_targets"

    id: Mapped[str] = identifier()
    name: Mapped[str] = mapped_column(String(63), unique=True)
    kind: Mapped[ServerKind] = mapped_column(enum_type(ServerKind))
    urls: Mapped[list[str]]
    lines: Mapped[list[str]]
    alias: Mapped[str] = mapped_column(String(63))
    mount: Mapped[str] = mapped_column(String(1000))
    precision: Mapped[Precision] = mapped_column(enum_type(Precision))
    max_lora_rank: Mapped[int | None]
    target_modules: Mapped[list[str] | None]
    ciphertext: Mapped[bytes | None] = mapped_column(LargeBinary)
    wrapped_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(48))
    leaving_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Replica(Base):
    """One line on one server.

    `desired_id`: the version it shall serve, since `desired_at`. `proven_id`: the one that its answers have shown,
    `outcome`, at `proven_at`. `held`: ids of versions that may be on it; their files stay. `removed`: what was
    unloaded since the last receipt, by name, and whether its weights were overwritten.
    `fence` counts claims: a write that carries an older fence is refused.
    """

    __tablename__ = "replicas"
    __table_args__ = (
        UniqueConstraint("url", "line_id"),
        Index("ix_replicas_target_id", "target_id"),
        Index("ix_replicas_line_id", "line_id"),
    )

    id: Mapped[str] = identifier()
    target_id: Mapped[str] = mapped_column(ForeignKey("serving_targets.id"))
    url: Mapped[str] = mapped_column(String(1000))
    line_id: Mapped[str] = mapped_column(ForeignKey("lines.id"))
    desired_id: Mapped[str | None] = mapped_column(String(48))
    desired_at: Mapped[datetime] = mapped_column(UtcDateTime)
    proven_id: Mapped[str | None] = mapped_column(String(48))
    proven_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[ProbeOutcome | None] = mapped_column(enum_type(ProbeOutcome))
    held: Mapped[list[str]]
    removed: Mapped[Json]
    step: Mapped[SwapStep | None] = mapped_column(enum_type(SwapStep))
    error: Mapped[Json | None]
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    checked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    fence: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SwapReceipt(Base):
    """A signed statement that a replica serves a version. It outlives the replica and its target.

    `seconds`: from the acceptance of the oldest request that the version answered, else from its publication.
    """

    __tablename__ = "swap_receipts"
    __table_args__ = (
        UniqueConstraint("replica_id", "version_id"),
        Index("ix_swap_receipts_line_id", "line_id"),
    )

    id: Mapped[str] = identifier()
    replica_id: Mapped[str] = mapped_column(String(48))
    target_id: Mapped[str] = mapped_column(String(48))
    line_id: Mapped[str] = mapped_column(ForeignKey("lines.id"))
    version_id: Mapped[str] = mapped_column(ForeignKey("versions.id"))
    outcome: Mapped[ProbeOutcome] = mapped_column(enum_type(ProbeOutcome))
    seconds: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    envelope: Mapped[Json]
