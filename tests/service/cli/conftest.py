"""The `lethe` command against the real API, on a deployment whose worker the test plays."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from service.client import Lethe
from tests.support.house import House
from tests.support.live_service import Service, live_service, opened_house, working


@pytest.fixture
def house(sqlite_url: str, tmp_path: Path) -> Iterator[House]:
    with opened_house(sqlite_url, tmp_path) as house:
        yield house


@pytest.fixture
def service(house: House, tmp_path: Path) -> Iterator[Service]:
    with live_service(house, tmp_path) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Lethe]:
    with Lethe(service.url, service.key) as client:
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
    """`tests.support.live_service.working` for this house."""
    return partial(working, house)
