"""The client against the real API, on a deployment whose worker the test plays; and against a server that fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.client import Lethe
from tests.support.house import House
from tests.support.live_service import Service, live_service, opened_house
from tests.support.unreliable import Unreliable, unreliable


@pytest.fixture
def house(sqlite_url: str, tmp_path: Path) -> Iterator[House]:
    with opened_house(sqlite_url, tmp_path) as house:
        yield house


@pytest.fixture
def service(house: House, tmp_path: Path) -> Iterator[Service]:
    with live_service(house, tmp_path) as service:
        yield service


@pytest.fixture
def lethe(service: Service) -> Iterator[Lethe]:
    with Lethe(service.url, service.key) as lethe:
        yield lethe


@pytest.fixture
def server() -> Iterator[Unreliable]:
    with unreliable() as server:
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts are short."""
    monkeypatch.setattr("service.client.sending.FIRST_PAUSE_S", 0.001)
