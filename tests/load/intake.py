"""Measure intake: `python -m tests.load.intake [--deliveries] [--rate N] [--database URL] …` (see `--help`).

Starts one API process on a migrated database that holds a ready adapter line, and sends removals from this, a second,
process: of single instances with a key, or of people by signed webhook deliveries. Without a rate it sends as fast as
it is answered; with one, latency counts from the moment at which a request was to be sent. The first requests of a
process compile their statements and open connections, so they are sent and not counted. Prints p50, p99 and
requests per second, and checks that every accepted request is in the database. It talks to loopback only and ends by
itself.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
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
from tests.support import senders
from tests.support.house import House, people

ADMIN_KEY = "lethe-load-generator-key-0000000000"
AUTHORIZED = {"Authorization": f"Bearer {ADMIN_KEY}"}
START_S = 30.0
WARM_UP = 20

# Sends the n-th request.
Send = Callable[[httpx.Client, int], httpx.Response]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--deliveries", action="store_true", help="send signed webhook deliveries")
    parser.add_argument("--rate", type=float, help="requests per second; without it, as fast as they are answered")
    parser.add_argument("--database", help="SQLAlchemy URL of an empty database; a SQLite file by default")
    arguments = parser.parse_args()
    count = WARM_UP + arguments.requests
    with tempfile.TemporaryDirectory() as directory:
        settings = _settings(Path(directory), arguments.database)
        _prepare(settings, count)
        server = subprocess.Popen(
            [sys.executable, "-m", "service.api"],
            env={**os.environ, **settings.environment()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{settings.port}"
            _wait_until_ready(url)
            send = _delivery(url) if arguments.deliveries else _request
            elapsed, latencies = _send_all(url, send, arguments)
        finally:
            server.terminate()
            server.wait(timeout=30)
        _report(settings, elapsed, latencies, count)


def _settings(directory: Path, database: str | None) -> Settings:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    values: dict[str, object] = {
        "home": directory,
        "port": port,
        "admin_key": ADMIN_KEY,
        "log_level": "WARNING",
        "rate_limit": 0,
        "rate_limit_posts": 0,
    }
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


def _request(client: httpx.Client, number: int) -> httpx.Response:
    """Every request removes another instance."""
    operation = {"type": "remove", "select": {"instance_ids": [f"p{number}-0"]}}
    body = {"operations": [operation], "adapters": ["bot"]}
    headers = {**AUTHORIZED, "Idempotency-Key": new_id("req")}
    return client.post("/v1/unlearning-requests", json=body, headers=headers)


def _delivery(url: str) -> Send:
    """Every delivery removes another person."""
    endpoint = {"provider": "standard_webhooks", "name": "load", "secret": senders.SYMMETRIC}
    path = httpx.post(f"{url}/v1/inbound-endpoints", json=endpoint, headers=AUTHORIZED).json()["path"]

    def send(client: httpx.Client, number: int) -> httpx.Response:
        sent = senders.standard(senders.erasure(f"Person {number}"))
        return client.post(path, content=sent.body, headers=dict(sent.headers))

    return send


def _send_all(url: str, send: Send, arguments: argparse.Namespace) -> tuple[float, list[float]]:
    """Returns the wall time and each request's latency, in seconds."""
    numbers: SimpleQueue[int] = SimpleQueue()
    for number in range(WARM_UP + arguments.requests):
        numbers.put(number)
    latencies: list[float] = []
    started = time.perf_counter()

    def due(number: int) -> float:
        return started + number / arguments.rate if arguments.rate else time.perf_counter()

    work = (url, send, numbers, due, latencies)
    threads = [threading.Thread(target=_client, args=work) for _ in range(arguments.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started, latencies


def _client(
    url: str, send: Send, numbers: SimpleQueue[int], due: Callable[[int], float], latencies: list[float]
) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:
        while True:
            try:
                number = numbers.get_nowait()
            except Empty:
                return
            begin = due(number)
            time.sleep(max(0.0, begin - time.perf_counter()))
            answer = send(client, number)
            if number >= WARM_UP:
                latencies.append(time.perf_counter() - begin)
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
