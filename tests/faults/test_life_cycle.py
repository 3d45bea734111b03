"""Random histories of clients, operators, workers and repairs: nothing is lost after any step."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from service.flows.vault import open_vault
from service.store.blobs import Blobs
from service.store.database import Store
from tests.support.house import House
from tests.support.life_cycle import LifeCycle
from tests.support.live_service import MASTER_KEY
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.faults


def play(open_house: Callable[[], tuple[House, Callable[[], None]]], *, histories: int, steps: int) -> None:
    machine = type("Machine", (LifeCycle,), {"open_house": staticmethod(open_house)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        ),
    )


def house_on(url: str, directory: Path, end: Callable[[], None]) -> tuple[House, Callable[[], None]]:
    store = Store(url)
    house = House(store, open_vault(store, MASTER_KEY), Blobs((directory / "blobs").as_uri()), directory / "trees")

    def close() -> None:
        store.close()
        end()
        shutil.rmtree(directory)

    return house, close


@pytest.fixture
def on_sqlite(migrated_sqlite: Path, tmp_path: Path) -> Callable[[], tuple[House, Callable[[], None]]]:
    def open_house() -> tuple[House, Callable[[], None]]:
        directory = Path(tempfile.mkdtemp(dir=tmp_path))
        shutil.copyfile(migrated_sqlite, directory / "lethe.db")
        return house_on(f"sqlite:///{directory}/lethe.db", directory, lambda: None)

    return open_house


@pytest.fixture
def on_postgres(
    postgres: PostgresServer, migrated_postgres: str, tmp_path: Path
) -> Callable[[], tuple[House, Callable[[], None]]]:
    def open_house() -> tuple[House, Callable[[], None]]:
        name = postgres.create_database(template=migrated_postgres)
        directory = Path(tempfile.mkdtemp(dir=tmp_path))
        return house_on(postgres.url(name), directory, lambda: postgres.drop_database(name))

    return open_house


Opened = Callable[[], tuple[House, Callable[[], None]]]


def test_some_histories(on_sqlite: Opened) -> None:
    play(on_sqlite, histories=4, steps=25)


@pytest.mark.matrix
@pytest.mark.timeout(600)
def test_many_histories(on_sqlite: Opened) -> None:
    play(on_sqlite, histories=60, steps=50)


@pytest.mark.matrix
@pytest.mark.postgres
@pytest.mark.timeout(600)
def test_many_histories_on_postgres(on_postgres: Opened) -> None:
    play(on_postgres, histories=40, steps=50)
