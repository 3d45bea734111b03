from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Api


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
