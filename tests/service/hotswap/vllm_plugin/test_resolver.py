"""From a model's name to a verified directory, against a real Lethe; and every way to say no."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.domain.scopes import Scope
from service.hotswap.vllm_plugin import lethe
from service.hotswap.vllm_plugin.fetch import Fetcher, NotServed
from service.hotswap.vllm_plugin.lethe import Lethe, Version
from service.hotswap.vllm_plugin.names import Name
from service.hotswap.vllm_plugin.shelf import Shelf
from tests.service.hotswap.vllm_plugin.conftest import World, files_below
from tests.support.lora_files import random_tensors, write_adapter

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:1"


def resolved(world: World, *names: str, **environment: str) -> list[Any]:
    """What a server that was just started is given for each name, one after the other."""

    async def ask() -> list[Any]:
        resolver = world.resolver(**environment)
        return [await resolver.resolve(str(world.base), name) for name in names]

    return asyncio.run(ask())


async def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class TestAVersion:
    def test_is_fetched_into_a_directory_named_by_its_content(self, world: World) -> None:
        adapter = world.adapter(1)
        world.line.publish(adapter)
        (request,) = resolved(world, "bot@v1")
        assert request.lora_name == "bot@v1"
        directory = Path(request.lora_path)
        digest = world.api.client.get("/v1/adapters/bot/versions/v1").json()["digest"]
        assert directory == world.directory / "cache" / "content" / digest.removeprefix("sha256:")
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            assert (directory / name).read_bytes() == (adapter / name).read_bytes()
        assert files_below(world.directory / "cache" / "drafts") == []

    def test_that_is_here_already_is_not_fetched_again(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        (first,) = resolved(world, "bot@v1")
        written = (Path(first.lora_path) / "adapter_model.safetensors").stat().st_ino
        (second,) = resolved(world, "bot@v1", LETHE_VLLM_MAX_BYTES="1000000")
        assert (Path(second.lora_path) / "adapter_model.safetensors").stat().st_ino == written

    def test_whose_copy_was_damaged_is_fetched_again(self, world: World) -> None:
        adapter = world.adapter(1)
        world.line.publish(adapter)
        (request,) = resolved(world, "bot@v1")
        copy = Path(request.lora_path) / "adapter_model.safetensors"
        copy.write_bytes(copy.read_bytes()[:-1] + b"\xff")
        resolved(world, "bot@v1")
        assert copy.read_bytes() == (adapter / "adapter_model.safetensors").read_bytes()

    def test_that_is_published_later_is_found_once_the_feed_tells(self, world: World) -> None:
        async def ask() -> None:
            resolver = world.resolver()
            assert await resolver.resolve(str(world.base), "bot@v1") is None
            world.line.publish(world.adapter(1))
            deadline = time.monotonic() + 10
            while await resolver.resolve(str(world.base), "bot@v1") is None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)

        asyncio.run(ask())


class TestIsNotServed:
    @pytest.mark.parametrize("name", ["bot@v2", "other@v1", "bot@production", "bot", "../bot@v1", "base"])
    def test_what_there_is_not(self, world: World, name: str) -> None:
        world.line.publish(world.adapter(1))
        assert resolved(world, name) == [None]

    def test_what_is_malformed_without_a_look_at_network_or_disk(self, world: World, silent_server: str) -> None:
        began = time.monotonic()
        assert resolved(world, "../../bot@v1", "bot@v1;x", LETHE_URL=silent_server) == [None, None]
        assert time.monotonic() - began < 1
        assert not (world.directory / "cache").exists()

    def test_a_line_that_is_not_listed(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        assert resolved(world, "bot@v1", LETHE_VLLM_LINES="other") == [None]
        assert resolved(world, "bot@v1", LETHE_VLLM_LINES="other,bot") != [None]

    def test_bytes_that_do_not_have_the_published_digest(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        (stored,) = [
            path
            for path in (world.api.settings.home / "blobs").rglob("adapter_model.safetensors")
            if path.stat().st_size > 100
        ]
        stored.write_bytes(stored.read_bytes()[:-4] + b"\0\0\0\0")
        assert resolved(world, "bot@v1") == [None]
        assert not (world.directory / "cache" / "content").exists()

    def test_more_bytes_than_allowed(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        assert resolved(world, "bot@v1", LETHE_VLLM_MAX_BYTES="100") == [None]

    def test_weights_that_are_no_numbers(self, world: World) -> None:
        tensors = {name: np.full_like(t, np.nan) for name, t in random_tensors(world.base, 1).items()}
        world.line.publish(write_adapter(world.directory / "nan", tensors))
        assert resolved(world, "bot@v1") == [None]

    def test_an_adapter_of_another_base_model(self, world: World) -> None:
        world.line.publish(world.adapter(1))

        async def ask(base: str, **environment: str) -> Any:
            return await world.resolver(**environment).resolve(base, "bot@v1")

        assert asyncio.run(ask("org/llama")) is None
        assert asyncio.run(ask("org/llama", LETHE_VLLM_BASE=f"other,{world.base}")) is not None
        assert asyncio.run(ask("org/llama", LETHE_VLLM_BASE="sha256:base")) is not None
        assert asyncio.run(ask(str(world.base), LETHE_VLLM_BASE="sha256:another")) is None

    def test_anything_to_a_key_that_may_not_read(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        resolved(world, "bot@v1")
        key = world.api.token_of(Scope.events_read)
        assert resolved(world, "bot@v1", LETHE_API_KEY=key) == [None]
        assert resolved(world, "bot@v1", LETHE_API_KEY="unknown") == [None]


class TestAWithdrawnVersion:
    def test_is_never_served_again(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        assert resolved(world, "bot@v1") != [None]
        world.line.withdraw("bot@v1")
        assert resolved(world, "bot@v1") == [None]
        assert resolved(world, "bot@v1", LETHE_URL=NOWHERE) == [None]

    def test_keeps_its_files_as_long_as_the_server_has_it_registered(self, world: World) -> None:
        world.line.publish(world.adapter(1))

        async def ask() -> None:
            resolver = world.resolver()
            registered = {"bot@v1": await resolver.resolve(str(world.base), "bot@v1")}
            directory = Path(registered["bot@v1"].lora_path)
            record = world.directory / "cache" / "versions" / "bot@v1.json"
            world.line.withdraw("bot@v1")
            await until(lambda: "withdrawn" in record.read_text())
            await asyncio.sleep(0.3)
            assert files_below(directory)
            del registered["bot@v1"]
            await until(lambda: not directory.exists())

        asyncio.run(ask())

    def test_keeps_its_files_while_another_server_has_it_registered(self, world: World) -> None:
        world.line.publish(world.adapter(1))

        async def ask() -> None:
            one, other = world.resolver(), world.resolver()
            registered = await one.resolve(str(world.base), "bot@v1")
            directory = Path(registered.lora_path)
            await other.resolve(str(world.base), "bot@v1")
            world.line.withdraw("bot@v1")
            await asyncio.sleep(0.3)
            assert files_below(directory)
            del registered
            await until(lambda: not directory.exists())

        asyncio.run(ask())

    def test_keeps_files_that_another_version_has_too(self, world: World) -> None:
        adapter = world.adapter(1)
        world.line.publish(adapter)
        world.line.publish(adapter)
        _, second = resolved(world, "bot@v1", "bot@v2")
        world.line.withdraw("bot@v1")
        assert resolved(world, "bot@v1") == [None]
        shelf = Shelf(world.directory / "cache")
        withdrawn = shelf.record("bot@v1")
        assert withdrawn is not None
        assert not shelf.remove(withdrawn.version)
        assert Path(second.lora_path).is_dir()

    def test_is_found_out_about_after_a_restart(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        (request,) = resolved(world, "bot@v1")
        world.line.withdraw("bot@v1")

        async def restart() -> None:
            resolver = world.resolver()
            await resolver.resolve(str(world.base), "bot@v7")
            await until(lambda: not Path(request.lora_path).exists())

        asyncio.run(restart())

    def test_is_not_served_if_that_happens_while_it_is_fetched(self, world: World) -> None:
        world.line.publish(world.adapter(1))

        class Interrupted(Lethe):
            def download(self, version: Version, name: str, target: Path) -> None:
                super().download(version, name, target)
                if name == "adapter_model.safetensors":
                    world.line.withdraw(version.id)

        settings = world.settings()
        fetcher = Fetcher(settings, Interrupted(settings.url, settings.api_key), Shelf(settings.cache))
        with pytest.raises(NotServed, match="withdrawn"):
            fetcher.fetch(str(world.base), Name("bot", "v1", is_alias=False))


class TestWithoutLethe:
    def test_a_copy_is_served_within_its_lease(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        assert resolved(world, "bot@v1", LETHE_URL=NOWHERE) == [None]
        resolved(world, "bot@v1")
        assert resolved(world, "bot@v1", LETHE_URL=NOWHERE) != [None]

    def test_a_copy_is_not_served_after_its_lease(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        resolved(world, "bot@v1")
        time.sleep(0.05)
        assert resolved(world, "bot@v1", LETHE_URL=NOWHERE, LETHE_VLLM_LEASE_S="0.04") == [None]

    def test_a_damaged_copy_is_not_served(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        (request,) = resolved(world, "bot@v1")
        (Path(request.lora_path) / "adapter_config.json").write_text("{}")
        assert resolved(world, "bot@v1", LETHE_URL=NOWHERE) == [None]

    def test_a_copy_is_not_served_to_another_base_model(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        resolved(world, "bot@v1")

        async def ask() -> Any:
            return await world.resolver(LETHE_URL=NOWHERE).resolve("org/llama", "bot@v1")

        assert asyncio.run(ask()) is None

    def test_the_feed_renews_the_lease_of_what_is_served(self, world: World) -> None:
        world.line.publish(world.adapter(1))

        async def ask() -> None:
            resolver = world.resolver(LETHE_VLLM_LEASE_S="0.3")
            await resolver.resolve(str(world.base), "bot@v1")
            first = confirmed_at(world)
            await until(lambda: confirmed_at(world) > first)

        asyncio.run(ask())

    def test_the_event_loop_goes_on_while_lethe_does_not_answer(
        self, world: World, silent_server: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lethe, "TIMEOUT_S", 0.5)

        async def ask() -> int:
            resolver = world.resolver(LETHE_URL=silent_server)
            asked: asyncio.Task[Any] = asyncio.create_task(no_answer(resolver.resolve(str(world.base), "bot@v1")))
            ticks = 0
            while not asked.done():
                await asyncio.sleep(0.01)
                ticks += 1
            return ticks

        assert asyncio.run(ask()) > 10


class TestAliases:
    def test_resolve_to_what_they_point_at_where_they_are_served(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        by_alias, by_version = resolved(world, "bot@production", "bot@v1", LETHE_VLLM_ALIASES="1")
        assert by_alias.lora_name == "bot@production"
        assert by_alias.lora_path == by_version.lora_path

    def test_are_not_served_without_lethe(self, world: World) -> None:
        world.line.publish(world.adapter(1))
        resolved(world, "bot@production", LETHE_VLLM_ALIASES="1")
        assert resolved(world, "bot@production", LETHE_VLLM_ALIASES="1", LETHE_URL=NOWHERE) == [None]


async def no_answer(asked: Coroutine[Any, Any, Any]) -> None:
    assert await asked is None


def confirmed_at(world: World) -> float:
    record = Shelf(world.directory / "cache").record("bot@v1")
    assert record is not None
    return record.confirmed_at
