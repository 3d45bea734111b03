"""The stream, and the pages beside it, lose no event while the API is killed and others write on."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.client import Lethe
from service.settings import Settings
from service.store.database import Store
from tests.support.api_process import Server, free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

KEY = "lethe_admin_key_of_the_tests"
WRITERS, EVENTS = 4, 150


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    values = {"home": tmp_path / "home", "database_url": database_url, "port": free_port(), "admin_key": KEY}
    return Settings.model_validate(values)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = Store(settings.database_url)
    yield store
    store.close()


def write(store: Store) -> None:
    for _ in range(EVENTS):
        with store.write() as unit:
            unit.emit("run.progress", adapter="bot")
        time.sleep(0.02)


def follow(url: str, seen: list[int], count: int) -> None:
    """By server-sent events, from now on."""
    with Lethe(url, KEY) as lethe:
        for event in lethe.follow_events(adapter="bot"):
            seen.append(event.id)
            if len(seen) == count:
                return


def poll(url: str, seen: list[int], count: int) -> None:
    """By pages, for clients that cannot hold a connection open."""
    cursor: dict[str, str] = {}
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as client:
        while len(seen) < count:
            try:
                page = client.get("/v1/events", params={"adapter": "bot", "limit": 50, **cursor}).json()
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            seen.extend(item["id"] for item in page["items"])
            cursor = {"cursor": page["next_cursor"]}
            time.sleep(0.05)


def test_nothing_is_lost_or_told_twice(store: Store, settings: Settings, tmp_path: Path) -> None:
    streamed: list[int] = []
    polled: list[int] = []
    count = WRITERS * EVENTS
    server = Server(settings, tmp_path / "log-0")
    writers = [threading.Thread(target=write, args=(store,)) for _ in range(WRITERS)]
    readers = [
        threading.Thread(target=reads, args=(server.url, seen, count), daemon=True)
        for reads, seen in ((follow, streamed), (poll, polled))
    ]
    for thread in (*readers, *writers):
        thread.start()
    for number, how in enumerate((signal.SIGKILL, signal.SIGTERM), start=1):
        wait_until(lambda goal=number * count // 4: len(streamed) >= goal, seconds=30)  # type: ignore[misc]
        server.process.send_signal(how)
        server.process.wait(timeout=30)
        server = Server(settings, tmp_path / f"log-{number}")
    for thread in (*writers, *readers):
        thread.join(timeout=60)
    server.process.kill()
    server.process.wait()
    with store.read() as unit:
        written = [row.seq for row in unit.feed.events(0, limit=10 * count, adapter="bot")]
    assert len(written) == count
    assert streamed == written
    assert polled == written
