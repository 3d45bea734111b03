"""A model registry follows the lines, over REST: a double of MLflow's server, and with `make test-mlflow` itself.

That one runs from an environment of its own, whose `mlflow` command the variable MLFLOW names.
"""

import logging
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.control.mlflow.difference import Model
from service.control.mlflow.mirror import Mirror
from service.control.mlflow.registry import Registry
from service.domain.adapters import BaseModelRef, Policy
from service.flows.alias import drop_alias, set_alias
from service.flows.lines import create_line
from service.flows.vault import open_vault
from service.flows.withdraw import withdraw, withdraw_due
from service.store.blobs import Blobs
from service.store.database import Store
from tests.support.api_server import served
from tests.support.house import ACTOR, House, people, remove
from tests.support.mlflow_double import mlflow_double

pytestmark = pytest.mark.slow

URL = "https://lethe.example"
START_S = 180


@pytest.fixture(scope="module", params=["double", "server"] if "MLFLOW" in os.environ else ["double"])
def tracking_uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "double":
        with served(mlflow_double()) as url:
            yield url
        return
    with mlflow_server(Path(os.environ["MLFLOW"]), tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@contextmanager
def mlflow_server(command: Path, directory: Path) -> Iterator[str]:
    """A real MLflow server with an empty database; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = f"sqlite:///{directory}/mlflow.db"
    arguments = ["server", "--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", store, "--workers", "1"]
    alone = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen([command, *arguments], cwd=directory, env={**os.environ, **alone})
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + START_S
    try:
        while not _answers(url):
            assert process.poll() is None, "MLflow ended"
            assert time.monotonic() < until, "MLflow did not start"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def registry(tracking_uri: str) -> Iterator[Registry]:
    registry = Registry(tracking_uri)
    yield registry
    registry.close()


@pytest.fixture
def house(sqlite_url: str, tmp_path: Path) -> Iterator[House]:
    store = Store(sqlite_url)
    yield House(store, open_vault(store, bytes(32)), Blobs((tmp_path / "blobs").as_uri()), tmp_path / "trees")
    store.close()


@pytest.fixture
def line(request: pytest.FixtureRequest) -> str:
    """A name of the test's own: the registry outlives it."""
    return f"line-{abs(hash(request.node.nodeid)):x}"


@pytest.fixture
def mirror(house: House, registry: Registry) -> Mirror:
    return Mirror(house.store, registry, URL)


def shown(registry: Registry, name: str) -> Model:
    model = registry.model(name)
    assert model is not None
    return model


def versions(model: Model) -> dict[str, int]:
    return {tags["lethe.version"]: number for number, tags in model.versions.items()}


def test_a_line_is_shown_with_what_is_to_be_known_of_it(
    house: House, registry: Registry, mirror: Mirror, line: str
) -> None:
    line_id = house.line(line, people(10))
    house.submit(remove("p1-0"))
    house.serve(line_id)
    assert mirror.catch_up() == 1
    model = shown(registry, line)
    with house.store.read() as unit:
        first, second = unit.versions.of_line(line_id)
    assert versions(model) == {"v1": 1, "v2": 2}
    assert model.aliases == {"production": 2}
    assert model.versions[2] == {
        "lethe.version": "v2",
        "lethe.url": f"{URL}/v1/adapters/{line}/versions/v2/archive",
        "lethe.digest": second.digest,
        "lethe.kind": "influence",
        "lethe.erasure_epoch": "1",
        "lethe.claim_level": "M",
        "lethe.parent": "v1",
        "lethe.anchor": "v1",
        "lethe.base_model": "/base",
        "lethe.base_digest": "sha256:base",
    }
    assert model.versions[1]["lethe.digest"] == first.digest
    assert model.tags["lethe.erasure_epoch"] == "1"


def test_a_second_pass_finds_nothing_to_do(house: House, registry: Registry, mirror: Mirror, line: str) -> None:
    house.line(line, people(4))
    assert mirror.catch_up() == 1
    before = shown(registry, line)
    assert mirror.catch_up() == mirror.catch_up() == 0
    assert Mirror(house.store, registry, URL).catch_up() == 0, "a new process compares with what is there"
    assert shown(registry, line) == before


def test_it_follows_the_aliases(house: House, registry: Registry, mirror: Mirror, line: str) -> None:
    line_id = house.line(line, people(10))
    with house.store.write() as unit:
        set_alias(unit, line, "canary", version="v1", expected=None, actor=ACTOR)
        set_alias(unit, line, "latest", version="v1", expected=None, actor=ACTOR)
    mirror.catch_up()
    assert shown(registry, line).aliases == {"canary": 1, "production": 1}
    house.submit(remove("p1-0"))
    house.serve(line_id)
    with house.store.write() as unit:
        drop_alias(unit, line, "canary", actor=ACTOR)
    mirror.catch_up()
    assert shown(registry, line).aliases == {"production": 2}


def test_what_is_withdrawn_is_deleted_there_and_its_number_is_not_used_again(
    house: House, registry: Registry, mirror: Mirror, line: str
) -> None:
    line_id = house.line(line, people(10), grace_period_s=0)
    mirror.catch_up()
    house.submit(remove("p1-0"))
    house.serve(line_id)
    with house.store.write() as unit:
        assert withdraw_due(unit) == 1
    mirror.catch_up()
    assert versions(shown(registry, line)) == {"v2": 2}
    house.submit(remove("p2-0"))
    house.serve(line_id)
    with house.store.write() as unit:
        withdraw(unit, line, ["v2"], actor=ACTOR)
    mirror.catch_up()
    assert versions(shown(registry, line)) == {"v3": 3}
    assert shown(registry, line).aliases == {"production": 3}


def test_numbers_need_not_agree(house: House, registry: Registry, mirror: Mirror, line: str) -> None:
    """A registry that comes late, or was lost, starts to count anew."""
    line_id = house.line(line, people(10), grace_period_s=0)
    house.submit(remove("p1-0"))
    house.serve(line_id)
    with house.store.write() as unit:
        withdraw_due(unit)
    mirror.catch_up()
    assert versions(shown(registry, line)) == {"v2": 1}
    assert shown(registry, line).aliases == {"production": 1}


def test_a_pass_that_was_cut_off_is_gone_on_with(house: House, registry: Registry, mirror: Mirror, line: str) -> None:
    line_id = house.line(line, people(10))
    house.submit(remove("p1-0"))
    house.serve(line_id)
    registry.create_model(line, {"lethe.adapter": line})
    registry.create_version(line, f"hf://{line}/v1", {"lethe.version": "v1"})
    mirror.catch_up()
    assert versions(shown(registry, line)) == {"v1": 1, "v2": 2}
    assert "lethe.digest" in shown(registry, line).versions[1]


def test_what_two_processes_made_at_once_is_put_right(
    house: House, registry: Registry, mirror: Mirror, line: str
) -> None:
    house.line(line, people(4))
    mirror.catch_up()
    registry.create_version(line, f"hf://{line}/v1", {"lethe.version": "v1"})
    mirror.catch_up()
    assert versions(shown(registry, line)) == {"v1": 1}


def test_a_model_of_that_name_that_is_not_ours_is_left_alone(
    house: House, registry: Registry, mirror: Mirror, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry.create_model(line, {"team": "search"})
    house.line(line, people(4))
    assert mirror.catch_up() == 0
    assert shown(registry, line) == Model({"team": "search"}, {}, {})
    assert "is not Lethe's" in caplog.text


def test_a_line_without_a_version_is_not_shown(house: House, registry: Registry, mirror: Mirror, line: str) -> None:
    with house.store.write() as unit:
        create_line(unit, line, BaseModelRef(path="/base"), Policy(), actor=ACTOR)
    assert mirror.catch_up() == 0
    assert registry.model(line) is None


def test_while_the_registry_is_away_lines_wait(
    house: House, tracking_uri: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    house.line(line, people(4))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://secret:password@127.0.0.1:{closed.getsockname()[1]}"
    away = Mirror(house.store, Registry(url), URL)
    with caplog.at_level(logging.INFO):
        assert away.catch_up() == away.catch_up() == 0
    assert "1 lines wait" in caplog.text
    assert "password" not in caplog.text
