from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.flows.vault import open_vault
from service.store.blobs import Blobs
from service.store.database import Store, Unit
from tests.support.drill import Drill
from tests.support.hook import Hook
from tests.support.house import House
from tests.support.scheduling import MORNING, Clock

MASTER_KEY = bytes(range(32))


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    store = Store(database_url)
    yield House(store, open_vault(store, MASTER_KEY), Blobs((tmp_path / "blobs").as_uri()), tmp_path / "trees")
    store.close()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Moves the database's clock."""
    real = Unit.__dict__["now"].func

    def move(by: timedelta) -> None:
        monkeypatch.setattr(Unit, "now", property(lambda unit: real(unit) + by))

    return move


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets the database's clock. It shows six in the morning at first."""

    def show(moment: datetime) -> None:
        monkeypatch.setattr(Unit, "now", property(lambda _: moment))

    show(MORNING)
    return show


@pytest.fixture
def hook(house: House) -> Hook:
    return Hook(house)


@pytest.fixture
def drill(house: House, tmp_path: Path) -> Drill:
    return Drill(house, tmp_path)
