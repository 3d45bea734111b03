"""The `lethe` command against the real API, on a deployment whose worker the test plays."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from service.cli.client import LetheClient
from service.cli.main import app
from service.domain.engine import Stage
from service.evidence.tokens import new_token
from service.flows.progress import report_progress
from service.flows.vault import open_vault
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store
from tests.support.api_server import api_server
from tests.support.house import House

MASTER_KEY = bytes(range(32))


@pytest.fixture
def house(sqlite_url: str, tmp_path: Path) -> Iterator[House]:
    store = Store(sqlite_url)
    yield House(store, open_vault(store, MASTER_KEY), Blobs((tmp_path / "blobs").as_uri()), tmp_path / "trees")
    store.close()


@dataclass(frozen=True)
class Service:
    """Where the API is, and a key to it."""

    url: str
    key: str


@pytest.fixture
def service(house: House, tmp_path: Path) -> Iterator[Service]:
    key = new_token()
    with api_server(house, Settings(home=tmp_path, admin_key=SecretStr(key))) as url:
        yield Service(url, key)


@pytest.fixture
def client(service: Service) -> Iterator[LetheClient]:
    with LetheClient(service.url, service.key) as client:
        yield client


@dataclass(frozen=True)
class Command:
    """One run of `lethe`."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def lethe(service: Service) -> Callable[..., Command]:
    """Runs `lethe` with these arguments, as somebody whose shell knows the service."""

    def run(*arguments: str | Path) -> Command:
        known = {"LETHE_URL": service.url, "LETHE_API_KEY": service.key, "COLUMNS": "200"}
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=known)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Command(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def worker(house: House) -> Callable[..., Any]:
    """A worker that answers what the given lines are asked for, with progress, until the context ends."""

    @contextmanager
    def working(line_ids: Sequence[str], *, passed: bool | None = True) -> Iterator[None]:
        over = threading.Event()

        def serve(line_id: str) -> None:
            claimed = house.claim_queued(line_id)
            with house.store.write() as unit:
                report_progress(unit, claimed.run_id, claimed.fence, Stage.solving, 0.5)
            time.sleep(0.05)
            house.answer(claimed, passed=passed)

        def loop() -> None:
            while not over.wait(0.05):
                for line_id in line_ids:
                    if house.queued_run(line_id) is not None:
                        serve(line_id)

        thread = threading.Thread(target=loop)
        thread.start()
        yield
        over.set()
        thread.join()

    return working
