"""The migrations make exactly the schema that the tables declare, on both databases."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.domain.runs import RunKind
from service.store.database import Store
from service.store.migrate import at_head, configuration, upgrade
from service.store.tables import Base


def test_the_migrated_schema_is_the_declared_one(database_url: str) -> None:
    store = Store(database_url)
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    store.close()


def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    upgrade(database_url)
    store = Store(database_url)
    assert at_head(store)
    store.close()


def test_an_empty_database_is_behind(empty_database_url: str) -> None:
    store = Store(empty_database_url)
    assert not at_head(store)
    store.close()


def test_every_migration_can_be_undone_and_done_again(database_url: str) -> None:
    command.downgrade(configuration(database_url), "base")
    upgrade(database_url)
    store = Store(database_url)
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    store.close()


def test_the_way_back_from_0002_leaves_only_runs_that_0001_knows(database_url: str) -> None:
    store = Store(database_url)
    with store.write() as unit:
        kept = unit.runs.enqueue("adp_1", RunKind.influence, pool="default", now=unit.now)
        unit.runs.enqueue("adp_1", RunKind.out_of_fold, pool="default", now=unit.now)
    store.engine.dispose()
    command.downgrade(configuration(database_url), "0001")
    upgrade(database_url)
    with store.read() as unit:
        assert [run.id for run in unit.runs.list(after=None, limit=10).items] == [kept]
    store.close()
