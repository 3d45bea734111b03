"""API keys, idempotent responses and signing keys."""

from collections.abc import Sequence

from sqlalchemy import select

from service.store.repositories.base import Repository
from service.store.tables import ApiKey, IdempotentResponse, SigningKey


class AccessRepository(Repository):
    def add(self, row: ApiKey | IdempotentResponse | SigningKey) -> None:
        self.session.add(row)

    def key_by_hash(self, token_hash: str) -> ApiKey | None:
        return self.session.scalar(select(ApiKey).where(ApiKey.token_hash == token_hash))

    def key(self, key_id: str) -> ApiKey | None:
        return self.session.get(ApiKey, key_id)

    def keys(self) -> Sequence[ApiKey]:
        return self.session.scalars(select(ApiKey).order_by(ApiKey.id)).all()

    def any_key(self) -> bool:
        return self.session.scalar(select(ApiKey.id).limit(1)) is not None

    def response(self, key_id: str, route: str, key: str) -> IdempotentResponse | None:
        return self.session.get(IdempotentResponse, (key_id, route, key))

    def signing_keys(self) -> Sequence[SigningKey]:
        """Newest first."""
        return self.session.scalars(select(SigningKey).order_by(SigningKey.created_at.desc())).all()
