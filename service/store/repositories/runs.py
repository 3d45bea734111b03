"""Runs, leases, workers and the outbox."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import ColumnElement, CursorResult, and_, case, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import aliased

from service.domain.ids import new_id
from service.domain.runs import Lane, RunKind, lane_of
from service.domain.scheduling import Start
from service.domain.states import RunState
from service.store.repositories.base import Page, Repository
from service.store.repositories.visibility import View
from service.store.tables import Line, OutboxRow, Run, WorkerRow


class RunRepository(Repository):
    def get(self, run_id: str) -> Run | None:
        return self.session.get(Run, run_id)

    def lock(self, run_id: str) -> Run | None:
        query = select(Run).where(Run.id == run_id).with_for_update().execution_options(populate_existing=True)
        return self.session.scalar(query)

    def enqueue(
        self,
        line_id: str,
        kind: RunKind,
        *,
        pool: str,
        now: datetime,
        version_id: str | None = None,
        start: Start | None = None,
        urgent: bool = False,
    ) -> str | None:
        """A queued run in the kind's lane and its hint, unless one is queued there already. `start` None: at once.

        Returns the new run's id, or None.
        """
        values = {
            "id": new_id("run"),
            "line_id": line_id,
            "kind": kind,
            "lane": lane_of(kind),
            "state": RunState.queued,
            "pool": pool,
            "version_id": version_id,
            "created_at": now,
            "hinted_at": now,
            "attempt": 0,
            "fence": 0,
            "progress": 0.0,
            "swept": False,
            "urgent": urgent,
        }
        flavour = pg_insert if self.session.get_bind().dialect.name == "postgresql" else sqlite_insert
        # psycopg counts no rows for this statement, so ask for what was inserted.
        statement = flavour(Run).values(**values).on_conflict_do_nothing().returning(Run.id)
        if self.session.scalar(statement) is None:
            return None
        self.hint(str(values["id"]), pool, now, start)
        return str(values["id"])

    def record(self, line_id: str, kind: RunKind, *, pool: str, now: datetime) -> Run:
        """A run that was over at once, without a worker."""
        run = Run(
            id=new_id("run"),
            line_id=line_id,
            kind=kind,
            lane=lane_of(kind),
            state=RunState.succeeded,
            pool=pool,
            created_at=now,
            started_at=now,
            finished_at=now,
            hinted_at=now,
            progress=1.0,
        )
        self.session.add(run)
        self.session.flush()
        return run

    def hint(self, run_id: str, pool: str, now: datetime, start: Start | None = None) -> None:
        """An outbox row: tell a worker of `pool`, now or when it may start, that this run waits.

        A run that another transaction has locked is not waited for: whoever claims it may be waiting for us.
        """
        waits_for = None if start is None else start.waits_for
        not_before = None if start is None or waits_for is None else start.at
        row = insert(OutboxRow).values(run_id=run_id, pool=pool, created_at=now, not_before=not_before)
        self.session.execute(row)
        self._update_unlocked(run_id, hinted_at=now, not_before=not_before, waits_for=waits_for)

    def take_over(self, run_id: str, before: Run) -> None:
        """A queued run is to do what another was at, which was tried so often; unless it is locked, as with `hint`."""
        self._update_unlocked(
            run_id,
            attempt=case((Run.attempt < before.attempt, before.attempt), else_=Run.attempt),
            urgent=case((Run.urgent, True), else_=before.urgent),
            because=func.coalesce(Run.because, before.because),
        )

    def _update_unlocked(self, run_id: str, **values: object) -> None:
        unlocked = select(Run.id).where(Run.id == run_id).with_for_update(skip_locked=True)
        self.session.execute(update(Run).where(Run.id.in_(unlocked)).values(values))

    def queued(self, line_id: str, lane: Lane) -> Run | None:
        return self._in_lane(line_id, lane, RunState.queued)

    def running(self, line_id: str, lane: Lane) -> Run | None:
        return self._in_lane(line_id, lane, RunState.running)

    def _in_lane(self, line_id: str, lane: Lane, state: RunState) -> Run | None:
        return self.session.scalar(select(Run).where(Run.line_id == line_id, Run.lane == lane, Run.state == state))

    def renew(self, run_id: str, fence: int, *, lease_until: datetime) -> bool:
        """Extend the lease; False if another claim holds the run or it was handed back."""
        result = self.session.execute(
            update(Run)
            .where(Run.id == run_id, Run.fence == fence, Run.state == RunState.running)
            .values(lease_until=lease_until)
        )
        return bool(cast(CursorResult[object], result).rowcount)

    def expired(self, now: datetime) -> Sequence[Run]:
        return self.session.scalars(select(Run).where(Run.state == RunState.running, Run.lease_until < now)).all()

    def unheard(self, now: datetime, *, after_s: float) -> Sequence[Run]:
        """Queued runs whose last hint is older than `after_s`, and was due then: Redis may have lost it."""
        limit = now - timedelta(seconds=after_s)
        query = select(Run).where(Run.state == RunState.queued, Run.hinted_at < limit, _may_start(limit))
        return self.session.scalars(query).all()

    def all_queued(self, lane: Lane) -> Sequence[Run]:
        return self.session.scalars(select(Run).where(Run.state == RunState.queued, Run.lane == lane)).all()

    def any_waiting(self, pool: str, lanes: Sequence[Lane], now: datetime) -> bool:
        """Whether some queued run of `pool` in one of these lanes could start at once.

        Not one whose time has not come or whose lane is taken, nor one that needs an anchor on a line without any.
        """
        other = aliased(Run)
        taken = exists().where(other.line_id == Run.line_id, other.lane == Run.lane, other.state == RunState.running)
        query = (
            select(Run.id)
            .join(Line, Line.id == Run.line_id)
            .where(Run.pool == pool, Run.lane.in_(lanes), Run.state == RunState.queued, _may_start(now))
            .where(or_(Line.anchor_id.is_not(None), Run.kind.in_((RunKind.train, RunKind.import_))), ~taken)
        )
        return self.session.scalar(query.limit(1)) is not None

    def running_in(self, pool: str) -> int:
        query = select(func.count()).where(Run.pool == pool, Run.state == RunState.running)
        return self.session.scalar(query) or 0

    def failed_from(self, anchor_id: str, lane: Lane) -> Sequence[Run]:
        """The runs of a lane that worked from this anchor and failed for good, newest first."""
        query = select(Run).where(Run.anchor_id == anchor_id, Run.lane == lane, Run.state == RunState.failed)
        return self.session.scalars(query.order_by(Run.id.desc())).all()

    def unswept(self) -> Sequence[Run]:
        """Finished runs whose leftovers were not deleted yet."""
        live = (RunState.queued, RunState.running)
        return self.session.scalars(select(Run).where(Run.state.not_in(live), Run.swept.is_(False))).all()

    def mark_swept(self, run_id: str) -> None:
        self.session.execute(update(Run).where(Run.id == run_id).values(swept=True))

    def list(
        self, *, after: str | None, limit: int, line_id: str | None = None, view: View | None = None
    ) -> Page[Run]:
        query = select(Run)
        if line_id is not None:
            query = query.where(Run.line_id == line_id)
        if view is not None:
            query = query.where(view.runs())
        return self.page(query, Run.id, after=after, limit=limit)

    def count_by_state(self) -> Mapping[tuple[RunKind, RunState], int]:
        query = select(Run.kind, Run.state, func.count()).group_by(Run.kind, Run.state)
        return {(kind, state): count for kind, state, count in self.session.execute(query)}

    def unsent(self, limit: int, now: datetime) -> Sequence[OutboxRow]:
        """Hints whose time has come, oldest first."""
        query = select(OutboxRow).where(_is_unsent(now)).order_by(OutboxRow.id).limit(limit)
        return self.session.scalars(query).all()

    def sent(self, row_ids: Sequence[int], now: datetime) -> None:
        self.session.execute(update(OutboxRow).where(OutboxRow.id.in_(row_ids)).values(sent_at=now))

    def seen_worker(self, name: str, pool: str, run_id: str | None, now: datetime) -> None:
        """Note that a worker is alive."""
        row = self.session.get(WorkerRow, name)
        if row is None:
            self.session.add(WorkerRow(name=name, pool=pool, started_at=now, seen_at=now, run_id=run_id))
        else:
            row.seen_at, row.run_id, row.pool = now, run_id, pool

    def forget_worker(self, name: str) -> None:
        row = self.session.get(WorkerRow, name)
        if row is not None:
            self.session.delete(row)

    def pools_alive(self, now: datetime, *, within_s: float) -> Mapping[str, int]:
        """Live workers a pool."""
        limit = now - timedelta(seconds=within_s)
        query = select(WorkerRow.pool, func.count()).where(WorkerRow.seen_at >= limit).group_by(WorkerRow.pool)
        return dict(self.session.execute(query).all())

    def outbox_lag(self, now: datetime) -> int:
        """How many hints should have gone out."""
        return self.session.scalar(select(func.count()).select_from(OutboxRow).where(_is_unsent(now))) or 0


def _may_start(now: datetime) -> ColumnElement[bool]:
    return or_(Run.not_before.is_(None), Run.not_before <= now)


def _is_unsent(now: datetime) -> ColumnElement[bool]:
    return and_(OutboxRow.sent_at.is_(None), or_(OutboxRow.not_before.is_(None), OutboxRow.not_before <= now))
