"""Endpoints of outgoing webhooks, their keys, and what was sent to them."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.domain.webhooks import DeliveryState, DisabledReason, SignatureScheme
from service.store.tables.base import Base, Json, UtcDateTime, enum_type, identifier


class WebhookEndpoint(Base):
    """A URL that is told of events. `event_types`, `lines`: filters; none for everything.

    `cursor`: the newest event that was looked at for it. `failing_since`: the first failure since its last success.
    """

    __tablename__ = "webhook_endpoints"

    id: Mapped[str] = identifier()
    url: Mapped[str] = mapped_column(String(2000))
    description: Mapped[str | None] = mapped_column(String(200))
    event_types: Mapped[list[str] | None]
    lines: Mapped[list[str] | None]
    cursor: Mapped[int]
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_reason: Mapped[DisabledReason | None] = mapped_column(enum_type(DisabledReason))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(48))


class WebhookSecret(Base):
    """A key that signs for an endpoint, sealed. `expires_at`: when a key that was replaced stops signing."""

    __tablename__ = "webhook_secrets"

    id: Mapped[str] = identifier()
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.id"), index=True)
    scheme: Mapped[SignatureScheme] = mapped_column(enum_type(SignatureScheme))
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    wrapped_key: Mapped[bytes] = mapped_column(LargeBinary)
    public_key: Mapped[str | None] = mapped_column(String(80))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class WebhookDelivery(Base):
    """One message to one endpoint; its id is the message's.

    `event_seq`: the event it tells of; none for a test. `tries`: how far it is in the schedule of retries. `fence`
    counts claims, as that of a run. `next_attempt_at`: when it is due, or, while it is being sent, when whoever sends
    it is taken for dead. `attempts`: what came of the newest ones.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_seq"),
        Index("ix_webhook_deliveries_state_next_attempt_at", "state", "next_attempt_at"),
    )

    id: Mapped[str] = identifier()
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.id"))
    event_seq: Mapped[int | None]
    type: Mapped[str] = mapped_column(String(64))
    payload: Mapped[Json]
    state: Mapped[DeliveryState] = mapped_column(enum_type(DeliveryState))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    tries: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[list[Json]]
