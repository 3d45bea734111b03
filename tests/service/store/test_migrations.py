"""The migrations make exactly the schema that the tables declare, on both databases."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.store.database import Store
from service.store.migrate import at_head, upgrade
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
