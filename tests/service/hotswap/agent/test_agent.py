"""A real Lethe on a socket, a server beside the agent, and everything that may go wrong between the two."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from service.cli.main import app
from service.domain.scopes import Scope
from service.domain.serving import Precision, ServerKind
from service.evidence.keys import jwks
from service.evidence.model_keys import ModelSigner
from service.evidence.model_verification import ModelKeys, read_model_keys
from service.hotswap.agent.agent import Agent, Followed
from service.hotswap.agent.pull import Puller
from service.hotswap.servers import Server, connect
from service.hotswap.vllm_plugin.follower import Follower
from service.hotswap.vllm_plugin.lethe import Lethe
from service.hotswap.vllm_plugin.settings import Settings
from service.hotswap.vllm_plugin.shelf import Shelf
from tests.support.api import Api
from tests.support.api_server import api_server
from tests.support.serving import Serving
from tests.support.vllm_double import VllmDouble, vllm_double
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:1"


class Host:
    """A serving host: its files, and the agents that are started on it one after the other."""

    def __init__(self, serving: Serving, url: str, key: str, keys: ModelKeys, root: Path, server: str) -> None:
        self.serving, self.url, self.key, self.keys, self.root, self.server = serving, url, key, keys, root, server
        self.shelf = Shelf(root)
        self._open: list[Agent | Server] = []

    def agent(self, *, url: str | None = None, keys: ModelKeys | None = None, base: str | None = None) -> Agent:
        """The host's next agent; the one before has ended."""
        self.close()
        lethe = Lethe(url or self.url, self.key)
        settings = Settings(self.url, self.key, self.root, 2**30, 300, 1, None, None, aliases=True)
        at = base or str(self.serving.base)
        puller = Puller(settings, lethe, self.shelf, keys or self.keys, at, self.shelf.content)
        server = connect(ServerKind.vllm, self.server)
        followed = [Followed("bot", "production")]
        agent = Agent(server, puller, Follower(lethe, self.shelf, 300), followed, Precision.float32, patience_s=1)
        self._open += [agent, server]
        return agent

    def path(self, number: int) -> Path:
        return self.shelf.content / self.serving.digest(number)

    def close(self) -> None:
        while self._open:
            self._open.pop().close()


@pytest.fixture
def serving(sqlite_url: str, tmp_path: Path) -> Iterator[Serving]:
    api = Api(tmp_path / "home", sqlite_url)
    yield Serving(api, tmp_path)
    api.store.close()


@pytest.fixture
def double(serving: Serving) -> Iterator[VllmDouble]:
    with vllm_double(serving.base, max_loras=4) as double:
        yield double


@pytest.fixture
def host(serving: Serving, double: VllmDouble, tmp_path: Path) -> Iterator[Host]:
    api = serving.house
    assert isinstance(api, Api)
    with api_server(api, api.settings) as url:
        key = api.token_of(Scope.adapters_read, Scope.events_read)
        # As saved when the host was set up.
        keys = read_model_keys(api.client.get("/.well-known/jwks.json").json())
        host = Host(serving, url, key, keys, tmp_path / "host", double.url)
        yield host
        host.close()


def names(double: VllmDouble) -> dict[str, str]:
    return {name: lora.lora_path for name, lora in double.registered.items()}


def loads_of(double: VllmDouble) -> int:
    return sum(path.endswith("/load_lora_adapter") for _, path, _ in double.requests)


class TestAVersion:
    def test_is_pulled_placed_and_served_under_both_names(
        self, serving: Serving, host: Host, double: VllmDouble
    ) -> None:
        serving.publish()

        assert host.agent().look()

        assert names(double) == {"bot@v1": str(host.path(1)), "bot@production": str(host.path(1))}

    def test_that_the_alias_moves_to_takes_the_place_of_the_one_before(
        self, serving: Serving, host: Host, double: VllmDouble
    ) -> None:
        first = serving.publish()
        agent = host.agent()
        agent.look()
        serving.publish()

        assert agent.look()

        assert names(double) == {"bot@v2": str(host.path(2)), "bot@production": str(host.path(2))}
        assert double.engine.copies_of(first) == 0, "weights that were unloaded are still in memory"

    def test_on_trial_is_served_beside_the_stable_one_until_it_takes_over(
        self, serving: Serving, host: Host, double: VllmDouble
    ) -> None:
        api = serving.house
        assert isinstance(api, Api)
        serving.publish()
        agent = host.agent()
        agent.look()
        rules = {"weight": 0.1, "bounds": [{"metric": "error_rate", "at_most": 0.02}]}
        api.client.patch("/v1/adapters/bot", json={"policy": {"promotion": "canary", "canary": rules}})
        serving.publish()

        assert agent.look()
        assert names(double) == {
            "bot@v1": str(host.path(1)),
            "bot@v2": str(host.path(2)),
            "bot@production": str(host.path(1)),
        }

        api.client.post("/v1/adapters/bot/aliases/production/canary/promote")
        assert agent.look()
        assert names(double) == {"bot@v2": str(host.path(2)), "bot@production": str(host.path(2))}

    def test_is_back_after_the_server_was_restarted(self, serving: Serving, host: Host, double: VllmDouble) -> None:
        serving.publish()
        agent = host.agent()
        agent.look()
        double.registered.clear()

        assert agent.look()

        assert set(names(double)) == {"bot@v1", "bot@production"}

    def test_of_the_agent_before_is_taken_over(self, serving: Serving, host: Host, double: VllmDouble) -> None:
        serving.publish()
        host.agent().look()
        loads = loads_of(double)

        assert host.agent().look()

        assert loads_of(double) == loads

    def test_stays_in_service_while_lethe_is_away(self, serving: Serving, host: Host, double: VllmDouble) -> None:
        serving.publish()
        host.agent().look()

        assert not host.agent(url=NOWHERE).look()

        assert set(names(double)) == {"bot@v1", "bot@production"}


class TestWhatWasWithdrawn:
    def test_goes_from_server_memory_and_disk(self, serving: Serving, host: Host, double: VllmDouble) -> None:
        first = serving.publish()
        agent = host.agent()
        agent.look()
        old = host.path(1)
        serving.publish()
        agent.look()
        serving.publisher.withdraw("bot@v1")

        assert agent.look()

        assert double.engine.copies_of(first) == 0
        assert sorted(path.name for path in host.shelf.content.glob("*") if path.is_dir() and path.name[0] != ".") == [
            host.path(2).name,
            f"{host.path(2).name}.blank",
        ]
        assert not old.exists()

    def test_goes_though_nothing_takes_its_place(self, serving: Serving, host: Host, double: VllmDouble) -> None:
        serving.publish()
        agent = host.agent()
        agent.look()
        serving.publisher.withdraw("bot@v1")

        agent.look()

        assert names(double) == {}
        assert not host.path(1).exists()

    def test_stays_on_disk_while_the_server_may_read_it(
        self, serving: Serving, host: Host, double: VllmDouble
    ) -> None:
        serving.publish()
        host.agent().look()
        serving.publisher.withdraw("bot@v1")
        host.server = NOWHERE

        host.agent().look()
        assert host.path(1).exists()

        host.server = double.url
        host.agent().look()
        assert not host.path(1).exists()

    def test_while_no_agent_ran_goes_too(self, serving: Serving, host: Host, double: VllmDouble) -> None:
        serving.publish()
        host.agent().look()
        serving.publish()
        serving.publisher.withdraw("bot@v1")

        assert host.agent().look()

        assert set(names(double)) == {"bot@v2", "bot@production"}
        assert not host.path(1).exists()


def stranger() -> ModelKeys:
    return read_model_keys(jwks([ModelSigner.generate().jwk()]))


class TestIsNotServed:
    @pytest.mark.parametrize("setting", [{"keys": stranger()}, {"base": "org/another"}])
    def test_what_no_pinned_key_signed_or_another_base_needs(
        self, serving: Serving, host: Host, double: VllmDouble, setting: dict[str, ModelKeys | str]
    ) -> None:
        serving.publish()

        assert not host.agent(**setting).look()  # type: ignore[arg-type]

        assert names(double) == {}
        assert not host.shelf.content.exists()

    def test_what_answers_like_something_else(self, serving: Serving, host: Host, double: VllmDouble) -> None:
        first = serving.publish()
        agent = host.agent()
        agent.look()
        serving.publish(probe_from=first)

        assert not agent.look()

        assert set(names(double)) == {"bot@v1", "bot@production"}


def test_a_server_that_is_away_is_asked_again_later(serving: Serving, host: Host, double: VllmDouble) -> None:
    serving.publish()
    host.server = NOWHERE
    assert not host.agent().look()
    host.server = double.url

    assert host.agent().look()


class TestTheCommand:
    @contextmanager
    def started(self, host: Host, tmp_path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
        """`lethe agent` as a process of its own."""
        saved = tmp_path / "jwks.json"
        saved.write_text(httpx.get(f"{host.url}/.well-known/jwks.json").text)
        command = [
            *(sys.executable, "-m", "service.cli.main", "agent", "bot@production"),
            *("--url", host.url, "--keys", str(saved), "--base", str(host.serving.base)),
            *("--server", host.server, "--precision", "float32", "--directory", str(host.root), "--poll", "0.1"),
            *options,
        ]
        process = subprocess.Popen(
            command, env={**os.environ, "LETHE_API_KEY": host.key}, stderr=subprocess.PIPE, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def test_once_ends_with_the_server_on_the_version(
        self, serving: Serving, host: Host, double: VllmDouble, tmp_path: Path
    ) -> None:
        serving.publish()

        with self.started(host, tmp_path, "--once") as process:
            assert process.wait(60) == 0

        assert set(names(double)) == {"bot@v1", "bot@production"}

    def test_follows_until_it_is_told_to_end_and_leaves_the_server_serving(
        self, serving: Serving, host: Host, double: VllmDouble, tmp_path: Path
    ) -> None:
        serving.publish()
        with self.started(host, tmp_path) as process:
            wait_until(lambda: set(names(double)) == {"bot@v1", "bot@production"}, seconds=60)
            serving.publish()
            wait_until(lambda: set(names(double)) == {"bot@v2", "bot@production"}, seconds=60)
            process.send_signal(signal.SIGTERM)

            assert process.wait(60) == 0

        assert set(names(double)) == {"bot@v2", "bot@production"}

    def test_killed_at_any_moment_goes_on_where_it_was(
        self, serving: Serving, host: Host, double: VllmDouble, tmp_path: Path
    ) -> None:
        first = serving.publish()
        with self.started(host, tmp_path, "--once") as process:
            process.wait(60)
        serving.publish()
        with self.started(host, tmp_path) as process:
            # In the middle of the swap: the new version is there, the old one not yet gone.
            wait_until(lambda: "bot@v2" in names(double), seconds=60)
            process.kill()

        with self.started(host, tmp_path, "--once") as process:
            assert process.wait(60) == 0

        assert names(double) == {"bot@v2": str(host.path(2)), "bot@production": str(host.path(2))}
        assert double.engine.copies_of(first) == 0

    @pytest.mark.parametrize(
        ("name", "key", "told"),
        [("bot@v1", "k", "names no alias"), ("bot", "k", "names no alias"), ("bot@production", "", "no API key")],
    )
    def test_says_what_is_wrong_with_the_call(self, tmp_path: Path, name: str, key: str, told: str) -> None:
        saved = tmp_path / "jwks.json"
        saved.write_text(json.dumps(jwks([ModelSigner.generate().jwk()])))
        command = ["agent", name, "--keys", str(saved), "--base", "b", "--key", key, "--once"]

        ended = CliRunner().invoke(app, command)

        assert ended.exit_code == 2
        assert told in " ".join(ended.stderr.split())
