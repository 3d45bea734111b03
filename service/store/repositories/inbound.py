"""Inbound endpoints, their secrets, and what they were sent."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select

from service.store.repositories.base import Page, Repository
from service.store.tables import AgentToken, InboundDelivery, InboundEndpoint, InboundSecret


class InboundRepository(Repository):
    def add(self, row: InboundEndpoint | InboundSecret) -> None:
        self.session.add(row)
        self.session.flush()

    def get(self, endpoint_id: str) -> InboundEndpoint | None:
        return self.session.get(InboundEndpoint, endpoint_id)

    def lock(self, endpoint_id: str) -> InboundEndpoint | None:
        query = select(InboundEndpoint).where(InboundEndpoint.id == endpoint_id).with_for_update()
        return self.session.scalar(query.execution_options(populate_existing=True))

    def list(self, *, after: str | None, limit: int) -> Page[InboundEndpoint]:
        """Those in service."""
        query = select(InboundEndpoint).where(InboundEndpoint.deleted_at.is_(None))
        return self.page(query, InboundEndpoint.id, after=after, limit=limit)

    def of_agent(self, agent_id: str) -> Sequence[InboundEndpoint]:
        """Those in service of a Data Rights Protocol agent, one for each business that it asks."""
        query = select(InboundEndpoint).where(InboundEndpoint.agent_id == agent_id)
        return self.session.scalars(query.where(InboundEndpoint.deleted_at.is_(None))).all()

    def add_token(self, values: Mapping[str, object]) -> bool:
        """Note an agent's token; False if its message has one."""
        statement = self.insert_new(AgentToken).values(**values)
        return self.session.scalar(statement.returning(AgentToken.id)) is not None

    def token(self, token_hash: str) -> AgentToken | None:
        return self.session.scalar(select(AgentToken).where(AgentToken.token_hash == token_hash))

    def newest_tokens(self, endpoint_id: str, count: int) -> Sequence[str]:
        """The ids of an endpoint's newest tokens."""
        query = select(AgentToken.id).where(AgentToken.endpoint_id == endpoint_id)
        return self.session.scalars(query.order_by(AgentToken.id.desc()).limit(count)).all()

    def secrets(self, endpoint_id: str) -> Sequence[InboundSecret]:
        """Newest first."""
        query = select(InboundSecret).where(InboundSecret.endpoint_id == endpoint_id)
        return self.session.scalars(query.order_by(InboundSecret.id.desc())).all()

    def drop_secrets(self, secret_ids: Sequence[str]) -> None:
        self.session.execute(delete(InboundSecret).where(InboundSecret.id.in_(secret_ids)))

    def reserve(self, values: Mapping[str, object]) -> bool:
        """Note a delivery; False if it is known. Waits for a transaction that is just noting it."""
        statement = self.insert_new(InboundDelivery).values(**values)
        return self.session.scalar(statement.returning(InboundDelivery.key_hash)) is not None

    def delivery(self, channel: str, key_hash: str) -> InboundDelivery:
        """Raises NoResultFound."""
        return self.session.get_one(InboundDelivery, (channel, key_hash), populate_existing=True)
