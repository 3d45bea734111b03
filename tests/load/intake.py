"""Measure intake: `python -m tests.load.intake [--requests N] [--clients N] [--database URL]`.

Starts one API process on a migrated database that holds a ready adapter line, and sends removals of
single instances from this, a second, process. Prints p50, p99 and requests per second, and checks that
every accepted request is in the database. It talks to loopback only and ends by itself.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue

import httpx
from sqlalchemy import func, select

from service.domain.ids import new_id
from service.flows.vault import vault_of
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store
from service.store.migrate import upgrade
from service.store.tables import UnlearningRequest
from tests.support.house import House, people

ADMIN_KEY = "lethe-load-generator-key-0000000000"
START_S = 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--database", help="SQLAlchemy URL of an empty database; a SQLite file by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        settings = _settings(Path(directory), arguments.database)
        _prepare(settings, arguments.requests)
        server = subprocess.Popen(
            [sys.executable, "-m", "service.api"],
            env={**os.environ, **settings.environment()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{settings.port}"
            _wait_until_ready(url)
            elapsed, latencies = _send(url, arguments.requests, arguments.clients)
        finally:
            server.terminate()
            server.wait(timeout=30)
        _report(settings, elapsed, latencies, arguments.requests)


def _settings(directory: Path, database: str | None) -> Settings:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    values: dict[str, object] = {"home": directory, "port": port, "admin_key": ADMIN_KEY, "log_level": "WARNING"}
    if database is not None:
        values["database_url"] = database
    return Settings.model_validate(values)


def _prepare(settings: Settings, count: int) -> None:
    upgrade(settings.database_url)
    store = Store(settings.database_url)
    house = House(store, vault_of(store, settings), Blobs(settings.blob_url), settings.home / "trees")
    house.line("bot", people(2 * count, facts=1), rebuild_after_s=1e9)
    store.close()


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/livez").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("the API did not start")


def _send(url: str, count: int, clients: int) -> tuple[float, list[float]]:
    """Every request removes another instance. Returns the wall time and each request's latency, in seconds."""
    numbers: SimpleQueue[int] = SimpleQueue()
    for number in range(count):
        numbers.put(number)
    latencies: list[float] = []
    threads = [threading.Thread(target=_client, args=(url, numbers, latencies)) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started, latencies


def _client(url: str, numbers: SimpleQueue[int], latencies: list[float]) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        while True:
            try:
                number = numbers.get_nowait()
            except Empty:
                return
            operation = {"type": "remove", "select": {"instance_ids": [f"p{number}-0"]}}
            started = time.perf_counter()
            answer = client.post(
                "/v1/unlearning-requests",
                json={"operations": [operation], "adapters": ["bot"]},
                headers={"Idempotency-Key": new_id("req")},
            )
            latencies.append(time.perf_counter() - started)
            assert answer.status_code == 202, answer.text


def _report(settings: Settings, elapsed: float, latencies: list[float], sent: int) -> None:
    store = Store(settings.database_url)
    with store.read() as unit:
        stored = unit.session.scalar(select(func.count()).select_from(UnlearningRequest))
        backend = unit.session.get_bind().dialect.name
    store.close()
    assert stored == sent, f"{sent} requests were accepted and {stored} are in the database"
    ordered = sorted(latencies)
    p50, p99 = (1000 * ordered[min(len(ordered) - 1, int(len(ordered) * q))] for q in (0.5, 0.99))
    figures = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {sent / elapsed:.0f} requests/s"
    sys.stdout.write(f"{backend}: {sent} requests, {figures}\n")


if __name__ == "__main__":
    main()
