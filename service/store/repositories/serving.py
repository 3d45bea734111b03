"""Serving targets, their replicas and swap receipts."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Select, and_, case, func, or_, select

from service.store.repositories.base import Page, Repository, Row
from service.store.tables import Alias, Replica, ServingTarget, SwapReceipt, Version

# Whether a replica was told of another version than its alias points at now.
_MOVED = and_(
    ServingTarget.leaving_at.is_(None),
    func.coalesce(Alias.version_id, "") != func.coalesce(Replica.desired_id, ""),
)


def _with_alias(query: Select[Row]) -> Select[Row]:
    """A query of replicas with the alias that each follows, if there is one."""
    follows = and_(Alias.line_id == Replica.line_id, Alias.name == ServingTarget.alias)
    return query.join(ServingTarget, ServingTarget.id == Replica.target_id).outerjoin(Alias, follows)


class ServingRepository(Repository):
    def add(self, row: ServingTarget | Replica | SwapReceipt) -> None:
        self.session.add(row)
        self.session.flush()

    def target(self, target_id: str) -> ServingTarget | None:
        return self.session.get(ServingTarget, target_id)

    def target_of(self, replica: Replica) -> ServingTarget:
        """Targets outlive their replicas."""
        return self.session.get_one(ServingTarget, replica.target_id)

    def target_by_name(self, name: str) -> ServingTarget | None:
        return self.session.scalar(select(ServingTarget).where(ServingTarget.name == name))

    def targets(self, *, after: str | None, limit: int) -> Page[ServingTarget]:
        return self.page(select(ServingTarget), ServingTarget.id, after=after, limit=limit)

    def following(self, line_id: str) -> Sequence[ServingTarget]:
        """The targets that serve a line, but for those that are being emptied."""
        query = select(ServingTarget).where(ServingTarget.leaving_at.is_(None), ServingTarget.id.in_(
            select(Replica.target_id).where(Replica.line_id == line_id)
        ))  # fmt: skip
        return self.session.scalars(query.order_by(ServingTarget.id)).all()

    def taken(self, urls: Sequence[str]) -> Sequence[str]:
        """Those of the URLs that belong to a target."""
        return self.session.scalars(select(Replica.url).where(Replica.url.in_(urls)).distinct()).all()

    def replica(self, replica_id: str) -> Replica | None:
        return self.session.get(Replica, replica_id)

    def lock(self, replica_id: str) -> Replica | None:
        """The replica, locked until the transaction ends."""
        query = select(Replica).where(Replica.id == replica_id).with_for_update()
        return self.session.scalar(query.execution_options(populate_existing=True))

    def replicas_of(self, target_id: str) -> Sequence[Replica]:
        return self.session.scalars(select(Replica).where(Replica.target_id == target_id).order_by(Replica.id)).all()

    def replicas_for(self, line_id: str) -> Sequence[Replica]:
        return self.session.scalars(select(Replica).where(Replica.line_id == line_id).order_by(Replica.id)).all()

    def due(self, now: datetime) -> Sequence[str]:
        """Ids of replicas that nobody is at, whose time has come or whose alias has moved."""
        query = _with_alias(select(Replica.id)).where(
            or_(Replica.lease_until.is_(None), Replica.lease_until < now), or_(Replica.due_at <= now, _MOVED)
        )
        return self.session.scalars(query.order_by(Replica.due_at)).all()

    def held(self) -> set[str]:
        """Ids of all versions that may be on some replica."""
        return {version_id for held in self.session.scalars(select(Replica.held)) for version_id in held}

    def remove(self, row: ServingTarget | Replica) -> None:
        self.session.delete(row)
        self.session.flush()

    def has_receipt(self, replica_id: str, version_id: str) -> bool:
        query = select(SwapReceipt.id).where(
            SwapReceipt.replica_id == replica_id, SwapReceipt.version_id == version_id
        )
        return self.session.scalar(query) is not None

    def receipts(self, line_id: str, covering: int) -> Sequence[SwapReceipt]:
        """Of versions that cover a line's ledger up to number `covering`, newest first."""
        return self.session.scalars(
            select(SwapReceipt)
            .join(Version, Version.id == SwapReceipt.version_id)
            .where(SwapReceipt.line_id == line_id, Version.ledger_seq >= covering)
            .order_by(SwapReceipt.id.desc())
        ).all()

    def count_by_state(self) -> Mapping[str, int]:
        """Replicas that serve what they shall (`current`), that are on their way (`behind`), or `failing`."""
        proven = func.coalesce(Replica.proven_id, "") == func.coalesce(Replica.desired_id, "")
        current = and_(Replica.checked_at.is_not(None), proven, ~_MOVED)
        state = case((Replica.attempts > 0, "failing"), (current, "current"), else_="behind").label("state")
        query = _with_alias(select(state, func.count(Replica.id))).group_by(state)
        return dict(self.session.execute(query).all())

    def durations(self, bounds: Sequence[float]) -> tuple[Sequence[int], float]:
        """How many swaps took at most each of these seconds, the last number being of all, and their sum."""
        columns = [func.count(case((SwapReceipt.seconds <= bound, 1))) for bound in bounds]
        total = func.coalesce(func.sum(SwapReceipt.seconds), 0.0)
        *counts, count, seconds = self.session.execute(select(*columns, func.count(SwapReceipt.id), total)).one()
        return [*counts, count], float(seconds)
