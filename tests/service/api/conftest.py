import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.house import people


@pytest.fixture(scope="module")
def ready(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A line called `bot`, for all of a module's tests that only read."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(migrated_sqlite, home / "lethe.db")
    api = Api(home, f"sqlite:///{home}/lethe.db")
    api.line("bot", people(10))
    yield api
    api.store.close()


@pytest.fixture
def api(sqlite_url: str, tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path / "home", sqlite_url)
    yield api
    api.store.close()


@pytest.fixture
def api_on_both(database_url: str, tmp_path: Path) -> Iterator[Api]:
    """The API on SQLite and on PostgreSQL."""
    api = Api(tmp_path / "home", database_url)
    yield api
    api.store.close()


@pytest.fixture
def line(api: Api) -> str:
    """A line called `bot` that a test may change."""
    return api.line("bot", people(10))
