"""Bring a database to the newest schema: `python -m service.store.migrate`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from service.settings import Settings
from service.store.database import Store

MIGRATIONS = Path(__file__).parent / "migrations"


def configuration(url: str) -> Config:
    """Alembic's configuration for the database at `url`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Run every migration the database lacks."""
    Store(url).close()
    command.upgrade(configuration(url), "head")


def at_head(store: Store) -> bool:
    """Whether the schema is the newest one."""
    head = ScriptDirectory.from_config(configuration(store.url)).get_current_head()
    with store.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == head


if __name__ == "__main__":
    upgrade(Settings().database_url)
