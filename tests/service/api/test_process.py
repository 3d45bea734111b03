"""`python -m service.api` as a process."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from service.store.migrate import upgrade
from tests.support.api_process import Server, free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ADMIN_KEY = "lethe_admin_key_of_the_tests"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home", port=free_port(), stop_grace_s=5)
    upgrade(settings.database_url)
    return settings


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Iterator[Server]:
    server = Server(settings, tmp_path / "log")
    yield server
    if server.process.poll() is None:
        server.process.kill()
    server.process.wait()


def first_key(log: str) -> str:
    (line,) = [line for line in log.splitlines() if line.startswith("first admin key")]
    return line.rpartition(" ")[2]


def test_the_first_key_is_told_once_and_works_after_a_restart(
    server: Server, settings: Settings, tmp_path: Path
) -> None:
    key = first_key(server.log.read_text())
    server.process.terminate()
    server.process.wait(timeout=10)
    again = Server(settings, tmp_path / "log-2")
    try:
        assert httpx.get(f"{again.url}/v1/keys", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert "lethe_" not in again.log.read_text()
    finally:
        again.process.terminate()
        again.process.wait(timeout=10)


def test_it_stops_gracefully_while_streams_are_open(server: Server) -> None:
    headers = {"Authorization": f"Bearer {first_key(server.log.read_text())}", "Accept": "text/event-stream"}
    with (
        httpx.Client(base_url=server.url, headers=headers, timeout=20) as client,
        client.stream("GET", "/v1/events") as response,
    ):
        assert response.status_code == 200
        server.process.send_signal(signal.SIGTERM)
        for _ in response.iter_bytes():
            """The stream ends as a whole message does; an aborted one would raise."""
        assert server.process.wait(timeout=4) == 0
    assert "Traceback" not in server.log.read_text()


def test_its_log_names_routes_only(server: Server) -> None:
    headers = {"Authorization": f"Bearer {first_key(server.log.read_text())}"}
    httpx.get(f"{server.url}/v1/unlearning-requests?client_reference=jane-doe", headers=headers)
    wait_until(lambda: "/v1/unlearning-requests 200" in server.log.read_text())
    log = server.log.read_text()
    assert "jane-doe" not in log
    assert "GET /v1/unlearning-requests 200" in log


@pytest.mark.parametrize(("trusted", "counted_apart"), [("", False), ("127.0.0.0/8", True)])
def test_whose_address_failures_are_counted_by(
    settings: Settings, tmp_path: Path, trusted: str, counted_apart: bool
) -> None:
    """Anybody can send `X-Forwarded-For`; it is believed of proxies that the operator names."""
    server = Server(
        settings.model_copy(update={"trusted_proxies": trusted, "rate_limit_failures": 4}), tmp_path / "log-3"
    )
    try:
        statuses = [
            httpx.get(
                f"{server.url}/v1/runs",
                headers={"Authorization": "Bearer wrong", "X-Forwarded-For": f"203.0.113.{number}"},
            ).status_code
            for number in range(4)
        ]
        assert statuses == ([401] * 4 if counted_apart else [401, 401, 429, 429])
    finally:
        server.process.kill()
        server.process.wait()
