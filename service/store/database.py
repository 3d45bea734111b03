"""Transactions on SQLite or PostgreSQL.

Every write transaction on SQLite starts with BEGIN IMMEDIATE: a deferred one that upgrades from read
to write fails at once when another writer is active, whatever the busy timeout says. Nothing inside
the application commits; leaving `Store.write()` does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.orm import Session

from service.domain.ids import new_id
from service.failpoints import reach
from service.store.repositories import (
    AccessRepository,
    CallbackRepository,
    DatasetRepository,
    FeedRepository,
    InboundRepository,
    JournalRepository,
    LedgerRepository,
    LineRepository,
    ReportRepository,
    RequestRepository,
    RunRepository,
    ServingRepository,
    TargetRepository,
    TextRepository,
    TreeRepository,
    VersionRepository,
    WebhookRepository,
)
from service.store.tables import AuditRow, Event, JournalRow
from service.store.tables.base import Json

BUSY_TIMEOUT_S = 30
IDLE_TIMEOUT_S = 60
_WRITE = "lethe_write"


class Unit:
    """One transaction: the repositories, its time, and the feed lines it will append on commit."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.access = AccessRepository(session)
        self.callbacks = CallbackRepository(session)
        self.datasets = DatasetRepository(session)
        self.feed = FeedRepository(session)
        self.inbound = InboundRepository(session)
        self.journal = JournalRepository(session)
        self.ledger = LedgerRepository(session)
        self.lines = LineRepository(session)
        self.reports = ReportRepository(session)
        self.requests = RequestRepository(session)
        self.runs = RunRepository(session)
        self.serving = ServingRepository(session)
        self.targets = TargetRepository(session)
        self.texts = TextRepository(session)
        self.trees = TreeRepository(session)
        self.versions = VersionRepository(session)
        self.webhooks = WebhookRepository(session)
        self._events: list[Event] = []
        self._audit: list[AuditRow] = []
        self._erasures: list[Json] = []

    @cached_property
    def now(self) -> datetime:
        """The database's clock at first use: leases of several hosts are compared with one clock."""
        if self.session.get_bind().dialect.name == "sqlite":
            return datetime.now(UTC)
        now: datetime = self.session.execute(select(func.clock_timestamp())).scalar_one()
        return now

    def emit(
        self,
        type_: str,
        *,
        adapter: str | None = None,
        request_id: str | None = None,
        run_id: str | None = None,
        **data: Any,
    ) -> None:
        """Append an event to the feed when this transaction commits. Ids and enums only: webhooks tell it to others.

        `type_` is one of `EVENT_TYPES`.
        """
        self._events.append(
            Event(type=type_, created_at=self.now, adapter=adapter, request_id=request_id, run_id=run_id, data=data)
        )

    def audit(self, actor: str, action: str, **data: Any) -> None:
        """Append a row to the audit chain when this transaction commits. Ids and keyed hashes only."""
        self._audit.append(AuditRow(created_at=self.now, actor=actor, action=action, data=data))

    def note_erasure(self, kind: str, **fact: Any) -> None:
        """Put something into the erasure journal when this transaction commits. Ids and keyed hashes only."""
        self._erasures.append({"kind": kind, **fact})

    def finish(self) -> None:
        """Write the feed lines, last of all: their lock orders commits, so cursors never skip a line."""
        if self._erasures:
            self.journal.add(JournalRow(id=new_id("jrn"), created_at=self.now, facts=self._erasures))
        if self._events or self._audit:
            self.session.flush()
            if changed := {event.request_id for event in self._events if event.request_id is not None}:
                self.callbacks.wake(changed, self.now)
            self.feed.append(self._events, self._audit)


class Store:
    """The database behind `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)

    @contextmanager
    def write(self, commit: str = "") -> Iterator[Unit]:
        """A read-write transaction: committed on success, rolled back on any exception.

        `commit` names it among the fail-points' COMMITS; a transaction that tests need not cut off has no name.
        """
        with Session(self.engine, expire_on_commit=False) as session:
            session.connection(execution_options={_WRITE: True})
            unit = Unit(session)
            yield unit
            unit.finish()
            reach(f"{commit}.before_commit")
            session.commit()
            reach(f"{commit}.after_commit")

    @contextmanager
    def read(self) -> Iterator[Unit]:
        """A read-only transaction."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield Unit(session)

    def drop_history(self) -> bool:
        """Have SQLite write its log into the database and empty it, for it holds pages as they were before.

        False if a reader or writer was in the way; another call may have more luck. PostgreSQL keeps such things as
        long as its own settings say.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        with self.engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None, "the connection is open"
            cursor = raw.cursor()
            cursor.execute("PRAGMA busy_timeout=100")
            try:
                (busy, *_) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
                cursor.close()
            return not busy

    def close(self) -> None:
        self.engine.dispose()


def is_there(url: str) -> bool:
    """Whether there is a database to open; on SQLite, opening one that is not there would make it."""
    parsed = make_url(url)
    return parsed.get_backend_name() != "sqlite" or (parsed.database is not None and Path(parsed.database).is_file())


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        # A worker frozen inside a transaction would hold its row locks for ever; the server ends it instead.
        idle = {"options": f"-c idle_in_transaction_session_timeout={IDLE_TIMEOUT_S * 1000}"}
        return create_engine(
            url, pool_size=20, max_overflow=20, pool_pre_ping=True, hide_parameters=True, connect_args=idle
        )
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    timeout = {"timeout": BUSY_TIMEOUT_S, "isolation_level": None}
    engine = create_engine(url, connect_args=timeout, hide_parameters=True)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    # What is deleted or overwritten is zeroed: a shredded key must not live on in a free page.
    connection.execute("PRAGMA secure_delete=ON")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
