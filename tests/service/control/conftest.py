from collections.abc import Iterator
from pathlib import Path

import pytest

from service.control.pusher import Pusher
from service.flows.vault import open_vault
from service.store.blobs import Blobs
from service.store.database import Store
from tests.support.house import House
from tests.support.serving import Serving


@pytest.fixture
def serving(database_url: str, tmp_path: Path) -> Iterator[Serving]:
    store = Store(database_url)
    house = House(store, open_vault(store, bytes(32)), Blobs((tmp_path / "blobs").as_uri()), tmp_path / "trees")
    yield Serving(house, tmp_path)
    store.close()


@pytest.fixture
def pusher(serving: Serving) -> Iterator[Pusher]:
    pusher = serving.pusher()
    yield pusher
    pusher.close()
