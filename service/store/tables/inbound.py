"""Where privacy platforms send their requests to, what proves that they do, and what they sent before."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from service.domain.inbound import Provider
from service.store.tables.base import Base, Json, UtcDateTime, enum_type, identifier


class InboundEndpoint(Base):
    """`lines`: the adapter lines it may affect; none for all. Rows are never deleted: the audit chain names them.

    `agent_id`, `business_id`: the two sides of a Data Rights Protocol endpoint; none for other providers.
    `callback_hosts`: where its requests may ask to be told of their status; none for nowhere.
    """

    __tablename__ = "inbound_endpoints"

    id: Mapped[str] = identifier()
    provider: Mapped[Provider] = mapped_column(enum_type(Provider))
    name: Mapped[str] = mapped_column(String(200))
    lines: Mapped[list[str] | None]
    subject_kinds: Mapped[Json]
    erasure_types: Mapped[list[str] | None]
    regulation: Mapped[str | None] = mapped_column(String(32))
    agent_id: Mapped[str | None] = mapped_column(String(120), index=True)
    business_id: Mapped[str | None] = mapped_column(String(120))
    callback_hosts: Mapped[list[str] | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(48))
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class InboundSecret(Base):
    """A secret or public key that verifies an endpoint's deliveries, sealed. At most two at a time."""

    __tablename__ = "inbound_secrets"

    id: Mapped[str] = identifier()
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("inbound_endpoints.id"), index=True)
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    wrapped_key: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AgentToken(Base):
    """A bearer token of a Data Rights Protocol agent, as a keyed hash, which says for which endpoint it signs.

    The newest of an endpoint are good. Older rows stay, so that a pairing message (`message_hash`) works but once.
    """

    __tablename__ = "agent_tokens"

    id: Mapped[str] = identifier()
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("inbound_endpoints.id"), index=True)
    token_hash: Mapped[str] = mapped_column(String(80), unique=True)
    message_hash: Mapped[str] = mapped_column(String(80), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class InboundDelivery(Base):
    """What was sent, for ever, so that a repetition is recognised: keyed hashes of its id and of what it asks for.

    `channel`: the endpoint, or the protocol with routes of its own. `request_id` is empty inside the transaction that
    makes the request.
    """

    __tablename__ = "inbound_deliveries"

    channel: Mapped[str] = mapped_column(String(48), primary_key=True)
    key_hash: Mapped[str] = mapped_column(String(80), primary_key=True)
    ask_hash: Mapped[str] = mapped_column(String(80))
    request_id: Mapped[str] = mapped_column(String(48), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
