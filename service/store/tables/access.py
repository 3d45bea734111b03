"""API keys and their tokens, sessions of the desk, replayed responses and signing keys."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from service.domain.signing import KeyPurpose, RevocationReason
from service.store.tables.base import Base, Json, UtcDateTime, enum_type, identifier


class ApiKey(Base):
    """Who may call, and what. `lines`: the adapter lines it is bound to; none for all.

    `person`: the actor id of the person of the identity provider who made it, or whose key did. `last_used_at` is
    true to some minutes.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = identifier()
    name: Mapped[str] = mapped_column(String(200))
    scopes: Mapped[list[str]]
    lines: Mapped[list[str] | None]
    person: Mapped[str | None] = mapped_column(String(48))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ApiToken(Base):
    """What is sent for a key, as a keyed hash; rotation adds one, and lets those before expire.

    Rows are never deleted: a token that was once replaced or revoked is known for ever, whoever brings it again.
    """

    __tablename__ = "api_tokens"

    token_hash: Mapped[str] = mapped_column(String(80), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class DeskSession(Base):
    """Somebody who is signed in to the desk. `id` is a keyed hash of the cookie.

    `token_hash`: the token of an API key, with which it lives and dies; none if its holder came in another way.
    """

    __tablename__ = "desk_sessions"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    actor_id: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(200))
    token_hash: Mapped[str | None] = mapped_column(ForeignKey("api_tokens.token_hash"))
    scopes: Mapped[list[str]]
    lines: Mapped[list[str] | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class IdempotentResponse(Base):
    """What a POST with an `Idempotency-Key` was answered."""

    __tablename__ = "idempotency"

    key_id: Mapped[str] = mapped_column(String(48), primary_key=True)
    route: Mapped[str] = mapped_column(String(200), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_hash: Mapped[str] = mapped_column(String(80))
    status: Mapped[int]
    body: Mapped[Json]
    location: Mapped[str | None] = mapped_column(String(300))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SigningKey(Base):
    """A key that signs. The private part is sealed; the newest one of a purpose without `retired_at` signs.

    Rows are never deleted: the public part verifies what the key signed, or tells why that is not trusted.
    """

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(String(80), primary_key=True)
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    wrapped_key: Mapped[bytes] = mapped_column(LargeBinary)
    jwk: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revocation_reason: Mapped[RevocationReason | None] = mapped_column(enum_type(RevocationReason))

    @property
    def purpose(self) -> KeyPurpose:
        """What it signs: the kind of key tells."""
        return next(purpose for purpose in KeyPurpose if purpose.key_type == self.jwk["kty"])
