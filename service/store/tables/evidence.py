"""The events feed, the audit chain and certificates."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from service.domain.adapters import ClaimLevel
from service.store.tables.base import Base, Json, UtcDateTime, enum_type, identifier


class Event(Base):
    """One line of the feed. `data` holds ids and enums only."""

    __tablename__ = "events"
    __table_args__ = {"sqlite_autoincrement": True}

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    type: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    adapter: Mapped[str | None] = mapped_column(String(63), index=True)
    request_id: Mapped[str | None] = mapped_column(String(48), index=True)
    run_id: Mapped[str | None] = mapped_column(String(48), index=True)
    data: Mapped[Json]


class AuditRow(Base):
    """A row of the hash chain: who did what to which ids."""

    __tablename__ = "audit"
    __table_args__ = {"sqlite_autoincrement": True}

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(64))
    data: Mapped[Json]
    hash: Mapped[str] = mapped_column(String(80))


class Certificate(Base):
    """A signed statement on one request and one line: interim, or final."""

    __tablename__ = "certificates"

    id: Mapped[str] = identifier()
    request_id: Mapped[str] = mapped_column(ForeignKey("requests.id"), index=True)
    target_id: Mapped[str] = mapped_column(ForeignKey("targets.id"))
    run_id: Mapped[str] = mapped_column(String(48))
    version_id: Mapped[str] = mapped_column(ForeignKey("versions.id"))
    claim_level: Mapped[ClaimLevel] = mapped_column(enum_type(ClaimLevel))
    final: Mapped[bool]
    supersedes: Mapped[str | None] = mapped_column(String(48))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    envelope: Mapped[Json]
