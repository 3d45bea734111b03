"""Queries on runs that another transaction has hold of."""

import pytest
from sqlalchemy import text

from service.domain.runs import RunKind
from service.store.database import Store
from tests.support.postgres import PostgresServer


@pytest.mark.postgres
def test_a_hint_does_not_wait_for_a_run_that_is_being_claimed(
    postgres: PostgresServer, migrated_postgres: str
) -> None:
    """The claimer may wait for the line that we have locked. SQLite has one writer, so it cannot happen there."""
    name = postgres.create_database(template=migrated_postgres)
    store = Store(postgres.url(name))
    with store.write() as unit:
        run_id = str(unit.runs.enqueue("adp_1", RunKind.influence, pool="default", now=unit.now))
    with store.write() as claiming, store.write() as publishing:
        claiming.runs.lock(run_id)
        publishing.session.execute(text("SET LOCAL lock_timeout = '2s'"))
        publishing.runs.hint(run_id, "default", publishing.now)
    with store.read() as unit:
        assert [row.run_id for row in unit.runs.unsent(10, unit.now)] == [run_id, run_id]
    store.close()
    postgres.drop_database(name)
