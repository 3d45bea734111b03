"""API keys, sessions of the desk, idempotent responses and signing keys."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, or_, select, update

from service.domain.signing import KeyPurpose
from service.store.repositories.base import Page, Repository
from service.store.tables import ApiKey, ApiToken, DeskSession, IdempotentResponse, SigningKey


class AccessRepository(Repository):
    def add(self, row: ApiKey | ApiToken | DeskSession | IdempotentResponse | SigningKey) -> None:
        self.session.add(row)

    def token(self, token_hash: str) -> tuple[ApiToken, ApiKey] | None:
        """A token, and the key it is of."""
        query = select(ApiToken, ApiKey).join(ApiKey, ApiKey.id == ApiToken.key_id)
        row = self.session.execute(query.where(ApiToken.token_hash == token_hash)).one_or_none()
        return None if row is None else (row[0], row[1])

    def tokens(self, key_id: str) -> Sequence[ApiToken]:
        return self.session.scalars(select(ApiToken).where(ApiToken.key_id == key_id)).all()

    def key(self, key_id: str, *, lock: bool = False) -> ApiKey | None:
        return self.session.get(ApiKey, key_id, with_for_update=True if lock else None)

    def mark_used(self, key_ids: Iterable[str], at: datetime) -> None:
        self.session.execute(update(ApiKey).where(ApiKey.id.in_(key_ids)).values(last_used_at=at))

    def keys(self, *, after: str | None, limit: int) -> Page[ApiKey]:
        return self.page(select(ApiKey), ApiKey.id, after=after, limit=limit)

    def any_key(self) -> bool:
        return self.session.scalar(select(ApiKey.id).limit(1)) is not None

    def session_of_desk(self, session_id: str) -> DeskSession | None:
        return self.session.get(DeskSession, session_id)

    def end_session(self, session_id: str) -> bool:
        """Whether there was one."""
        query = delete(DeskSession).where(DeskSession.id == session_id).returning(DeskSession.id)
        return self.session.scalar(query) is not None

    def forget_sessions(self, *, expired_at: datetime, unseen_since: datetime) -> None:
        over = or_(DeskSession.expires_at <= expired_at, DeskSession.seen_at <= unseen_since)
        self.session.execute(delete(DeskSession).where(over))

    def response(self, key_id: str, route: str, key: str) -> IdempotentResponse | None:
        return self.session.get(IdempotentResponse, (key_id, route, key))

    def reserve_response(self, values: Mapping[str, object]) -> bool:
        """Take an idempotency key; False if it is taken. Waits for a transaction that is just taking it."""
        statement = self.insert_new(IdempotentResponse).values(**values)
        return self.session.scalar(statement.returning(IdempotentResponse.key)) is not None

    def forget_responses(self, before: datetime) -> None:
        self.session.execute(delete(IdempotentResponse).where(IdempotentResponse.created_at < before))

    def signing_keys(self) -> Sequence[SigningKey]:
        """Newest first."""
        return self.session.scalars(select(SigningKey).order_by(SigningKey.created_at.desc())).all()

    def signing_key(self, kid: str) -> SigningKey | None:
        return self.session.get(SigningKey, kid)

    def signing_now(self, purpose: KeyPurpose, *, retire: bool = False) -> SigningKey | None:
        """The key that signs. It stays so until this transaction ends: a rotation (`retire`) waits for it."""
        query = (
            select(SigningKey)
            .where(SigningKey.retired_at.is_(None), SigningKey.jwk["kty"].as_string() == purpose.key_type)
            .order_by(SigningKey.created_at.desc())
            .limit(1)
            .with_for_update(read=not retire)
            .execution_options(populate_existing=True)
        )
        # One that was retired while this transaction waited for it is not found; its successor is.
        return self.session.scalar(query) or self.session.scalar(query)
