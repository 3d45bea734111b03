"""Who is told of a request's status, and how far that is."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from service.domain.callbacks import CallbackProtocol
from service.domain.webhooks import DeliveryState
from service.store.tables.base import Base, Json, UtcDateTime, enum_type, identifier


class StatusCallback(Base):
    """A URL that is told the present status of one request whenever that has changed; what it missed is not told.

    `told`: the SHA-256 of the status that was told last. `changes` counts what happened to the request, so that a
    sender sees whether something did while it was sending. `next_attempt_at`: when it is due; none if there is no
    news. `leased_until`: while it is being sent, when whoever sends it is taken for dead. `fence` counts claims;
    `tries`: how far it is in the schedule of retries. `attempts`: what came of the newest ones.
    """

    __tablename__ = "status_callbacks"
    __table_args__ = (Index("ix_status_callbacks_state_next_attempt_at", "state", "next_attempt_at"),)

    id: Mapped[str] = identifier()
    request_id: Mapped[str] = mapped_column(ForeignKey("requests.id"), index=True)
    protocol: Mapped[CallbackProtocol] = mapped_column(enum_type(CallbackProtocol))
    url: Mapped[str] = mapped_column(String(2000))
    host: Mapped[str] = mapped_column(String(255))
    state: Mapped[DeliveryState] = mapped_column(enum_type(DeliveryState))
    told: Mapped[str | None] = mapped_column(String(64))
    changes: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    fence: Mapped[int] = mapped_column(default=0)
    tries: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[list[Json]]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
