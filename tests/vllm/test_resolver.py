"""The resolver plugin in a server, with a real Lethe behind it: from a name to answers, and back to 404."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from service.domain.scopes import Scope
from service.hotswap.vllm_plugin.resolver import Resolver
from service.hotswap.vllm_plugin.settings import read_settings
from tests.support.api import Api
from tests.support.api_server import api_server
from tests.support.lora_files import random_tensors, write_adapter
from tests.support.published import Publisher
from tests.support.vllm_double_engine import LoraRequest
from tests.support.waiting import wait_until
from tests.vllm.bed import Bed, double_bed
from tests.vllm.conftest import SERVERS

pytestmark = pytest.mark.slow

# A real server may need seconds for an answer on a busy machine.
LEASE_S = {"double": 3.0, "vllm": 20.0}


@dataclass
class World:
    """Lethe and a server that knows of it. Each test has lines of its own."""

    api: Api
    bed: Bed
    directory: Path
    lease_s: float
    stop_lethe: Callable[[], None]
    lines: dict[str, Publisher] = field(default_factory=dict)

    def publish(self, line: str, seed: int) -> Path:
        """The next version of a line; the directory with the adapter."""
        return self.publish_directory(
            line, write_adapter(self.directory / uuid4().hex, random_tensors(self.bed.base, seed))
        )

    def publish_directory(self, line: str, adapter: Path) -> Path:
        if line not in self.lines:
            self.lines[line] = Publisher(self.api, line, str(self.bed.base))
        self.lines[line].publish(adapter)
        return adapter

    @property
    def cache(self) -> Path:
        return self.directory / "cache"


@pytest.fixture(scope="module", params=SERVERS)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path
) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("resolver")
    shutil.copyfile(migrated_sqlite, directory / "lethe.db")
    api = Api(directory / "home", f"sqlite:///{directory}/lethe.db")
    with ExitStack() as lethe, ExitStack() as server:
        environment = {
            "LETHE_URL": lethe.enter_context(api_server(api, api.settings)),
            "LETHE_API_KEY": api.token_of(Scope.adapters_read, Scope.events_read),
            "LETHE_VLLM_CACHE": str(directory / "cache"),
            "LETHE_VLLM_LEASE_S": str(LEASE_S[request.param]),
            "LETHE_VLLM_POLL_S": "0.2",
        }
        bed = server.enter_context(_bed_with_plugin(request, directory, environment))
        yield World(api, bed, directory, LEASE_S[request.param], lethe.close)
    api.store.close()


def _bed_with_plugin(
    request: pytest.FixtureRequest, directory: Path, environment: dict[str, str]
) -> AbstractContextManager[Bed]:
    if request.param == "double":
        settings = read_settings(environment)
        assert settings is not None
        resolver = Resolver(settings, lambda name, path: LoraRequest(name, 1, path))
        return double_bed(request.getfixturevalue("double_base"), resolver.resolve)
    from tests.vllm.real import real_bed

    return real_bed(request.getfixturevalue("real_base"), directory, environment)


def refused(world: World, name: str) -> bool:
    response = world.bed.ask(name)
    return response.status_code == 404 and response.json()["error"]["type"] == "NotFoundError"


def test_a_version_is_served_by_its_name_alone(world: World) -> None:
    first, second = world.publish("served", 1), world.publish("served", 2)
    assert world.bed.answers_as("served@v1", first)
    assert world.bed.answers_as("served@v2", second)
    assert world.bed.answers_as("base", None)
    assert Path(world.bed.roots()["served@v2"]).is_relative_to(world.cache / "content")


@pytest.mark.parametrize("name", ["nobody@v99", "nobody@v1", "served@production", "served", "../served@v1", "/etc"])
def test_other_names_are_not_found_at_once(world: World, name: str) -> None:
    assert refused(world, name)
    began = time.monotonic()
    assert refused(world, name)
    assert time.monotonic() - began < 1


def test_many_first_requests_make_one_download(world: World, caplog: pytest.LogCaptureFixture) -> None:
    adapter = world.publish("crowded", 3)
    with caplog.at_level(logging.INFO, "uvicorn.access"), ThreadPoolExecutor(6) as clients:
        statuses = list(clients.map(lambda _: world.bed.ask("crowded@v1").status_code, range(6)))
    downloads = [line for line in caplog.messages if "crowded/versions/v1/files/adapter_model.safetensors" in line]
    assert statuses == [200] * 6
    assert len(downloads) == 1
    assert world.bed.answers_as("crowded@v1", adapter)


def test_bytes_without_the_published_digest_are_not_served(world: World) -> None:
    weights = (world.publish("damaged", 4) / "adapter_model.safetensors").read_bytes()
    stored = (world.api.settings.home / "blobs").rglob("*.safetensors")
    (damaged,) = (path for path in stored if path.read_bytes() == weights)
    damaged.write_bytes(weights[:-4] + b"\0\0\0\0")
    assert refused(world, "damaged@v1")


def test_what_the_server_would_serve_wrongly_is_not_served(world: World) -> None:
    tensors = {name: np.full_like(tensor, np.nan) for name, tensor in random_tensors(world.bed.base, 5).items()}
    world.publish_directory("nan", write_adapter(world.directory / "nan", tensors))
    narrow = {n: t[:, :8] if "lora_A" in n else t for n, t in random_tensors(world.bed.base, 5).items()}
    world.publish_directory("narrow", write_adapter(world.directory / "narrow", narrow))
    assert refused(world, "nan@v1")
    assert refused(world, "narrow@v1")


def test_a_withdrawn_version_goes_in_the_order_of_the_readme(world: World) -> None:
    old, new = world.publish("gone", 6), world.publish("gone", 7)
    assert world.bed.answers_as("gone@v1", old)
    assert world.bed.answers_as("gone@v2", new)
    roots = {name: Path(root) for name, root in world.bed.roots().items()}
    record = world.cache / "versions" / "gone@v1.json"

    world.lines["gone"].withdraw("gone@v1")
    wait_until(lambda: "withdrawn" in record.read_text())
    # A name that is registered is not looked up again: the tombstone alone changes nothing for it.
    assert world.bed.answers_as("gone@v1", old)
    assert roots["gone@v1"].is_dir()

    assert world.bed.load("gone@v1", roots["gone@v2"], load_inplace=True).status_code == 200
    assert not world.bed.holds(old)
    assert world.bed.unload("gone@v1").status_code == 200
    assert refused(world, "gone@v1")
    assert not world.bed.holds(old)
    wait_until(lambda: not roots["gone@v1"].exists())
    assert world.bed.answers_as("gone@v2", new)


def test_without_lethe_a_copy_is_served_for_the_lease_and_nothing_else(world: World) -> None:
    adapter = world.publish("leased", 8)
    assert world.bed.answers_as("leased@v1", adapter)
    world.publish("never-asked-for", 9)
    world.stop_lethe()
    world.bed.unload("leased@v1")
    assert world.bed.answers_as("leased@v1", adapter)
    assert refused(world, "never-asked-for@v1")
    time.sleep(world.lease_s)
    world.bed.unload("leased@v1")
    assert refused(world, "leased@v1")
