from collections.abc import Iterator
from pathlib import Path

import pytest

from service.flows.vault import open_vault
from service.store.blobs import Blobs
from service.store.database import Store
from tests.support.house import House

MASTER_KEY = bytes(range(32))


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    store = Store(database_url)
    yield House(store, open_vault(store, MASTER_KEY), Blobs((tmp_path / "blobs").as_uri()), tmp_path / "trees")
    store.close()
