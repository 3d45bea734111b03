"""Unlearning requests, their operations and their targets."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.domain.adapters import ClaimLevel, Strategy
from service.domain.decisions import RejectionCode
from service.domain.states import Outcome, RequestState, TargetState
from service.store.tables.base import Base, Json, UtcDateTime, enum_type, identifier


class UnlearningRequest(Base):
    """The legal object. `state` is derived from the targets whenever one of them moves.

    `due_soon_at`, `overdue_at`: when the alarm went off, if it did.
    """

    __tablename__ = "requests"

    id: Mapped[str] = identifier()
    state: Mapped[RequestState] = mapped_column(enum_type(RequestState), index=True)
    outcome: Mapped[Outcome | None] = mapped_column(enum_type(Outcome))
    on_hold: Mapped[bool] = mapped_column(default=False)
    strategy: Mapped[Strategy | None] = mapped_column(enum_type(Strategy))
    client_reference: Mapped[str | None] = mapped_column(String(200), unique=True)
    regulation: Mapped[str | None] = mapped_column(String(32))
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ack_due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    extended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    due_soon_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    overdue_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(48))
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    decided_by: Mapped[str | None] = mapped_column(String(48))
    decisions: Mapped[list[Json]] = mapped_column(default=list)
    rejection_code: Mapped[RejectionCode | None] = mapped_column(enum_type(RejectionCode))
    every_line: Mapped[bool]
    urgent: Mapped[bool] = mapped_column(default=False)
    operation_counts: Mapped[Json]
    receipt: Mapped[Json]
    refusal: Mapped[Json | None]
    failure: Mapped[Json | None]


class OperationRow(Base):
    """An operation as submitted, sealed: it may quote personal data.

    `subject_hash`: the keyed hash of the data subject it selects by, if it does.
    """

    __tablename__ = "operations"

    request_id: Mapped[str] = mapped_column(ForeignKey("requests.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(String(32))
    text_id: Mapped[str] = mapped_column(ForeignKey("texts.id"))
    subject_hash: Mapped[str | None] = mapped_column(String(80), index=True)


class RequestSubject(Base):
    """A keyed hash by which a data subject is looked for who a request selects by."""

    __tablename__ = "request_subjects"

    lookup: Mapped[str] = mapped_column(String(80), primary_key=True)
    request_id: Mapped[str] = mapped_column(ForeignKey("requests.id"), primary_key=True, index=True)


class Target(Base):
    """One line that a request affects.

    `batch` keeps requests apart that failed together: a run takes the targets of one batch, and a
    batch that fails for good is split in halves until the culprit stands alone.

    `choices` tells how the target came to its strategy: the first choice, then every escalation. `overdue_at`: when
    it was told that the data outlived `shred_by`. `acceptance`: that a person let an outcome stand which falls short.
    """

    __tablename__ = "targets"
    __table_args__ = (
        UniqueConstraint("request_id", "line_id"),
        Index("ix_targets_line_id_state", "line_id", "state"),
    )

    id: Mapped[str] = identifier()
    request_id: Mapped[str] = mapped_column(ForeignKey("requests.id"))
    line_id: Mapped[str] = mapped_column(ForeignKey("lines.id"))
    state: Mapped[TargetState] = mapped_column(enum_type(TargetState))
    strategy: Mapped[Strategy] = mapped_column(enum_type(Strategy))
    choices: Mapped[list[Json] | None]
    batch: Mapped[str] = mapped_column(String(48), default="")
    run_id: Mapped[str | None] = mapped_column(String(48), index=True)
    version_id: Mapped[str | None] = mapped_column(String(48))
    claim_level: Mapped[ClaimLevel | None] = mapped_column(enum_type(ClaimLevel))
    instance_count: Mapped[int]
    shred_by: Mapped[datetime] = mapped_column(UtcDateTime)
    overdue_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    acceptance: Mapped[Json | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    failure: Mapped[Json | None]


class TargetEdit(Base):
    """What a target asks of one instance. `text_id`: its new content; none to remove it."""

    __tablename__ = "target_edits"

    target_id: Mapped[str] = mapped_column(ForeignKey("targets.id"), primary_key=True)
    instance_id: Mapped[str] = mapped_column(String(200), primary_key=True, index=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    text_id: Mapped[str | None] = mapped_column(ForeignKey("texts.id"))
