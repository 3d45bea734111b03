import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.domain.webhooks import SignatureScheme
from service.flows.webhook_endpoints import EndpointOrder, create_endpoint
from tests.support.deployment import Deployment
from tests.support.house import ACTOR, people
from tests.support.postgres import PostgresServer
from tests.workers.tiny_llama import save_tiny_llama

# Short, so that faults are found soon, and long enough for beats on a busy machine.
PACE = {"lease_s": 6, "heartbeat_s": 0.5, "reconcile_s": 0.3}


@pytest.fixture(scope="session")
def llama_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama, small enough to train in seconds."""
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))


@dataclass(frozen=True)
class Trained:
    """A stopped deployment with a really trained line `bot` and a webhook endpoint, to be copied."""

    home: Path
    database: str | None
    line: str


Open = Callable[..., Deployment]


@pytest.fixture(scope="session")
def trained(
    request: pytest.FixtureRequest, llama_path: Path, redis_server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Trained]:
    """What a worker trained on each kind of database, once a session."""
    made: dict[str, Trained] = {}

    def trained_on(backend: str) -> Trained:
        if backend not in made:
            home = tmp_path_factory.mktemp(f"trained-{backend}")
            made[backend] = _train(request, backend, home, llama_path, redis_server_url)
        return made[backend]

    return trained_on


def _train(request: pytest.FixtureRequest, backend: str, home: Path, base: Path, redis_url: str) -> Trained:
    database, url = new_database(request, backend)
    deployment = Deployment(home, redis_url, **PACE, **url)
    try:
        with deployment.store.write() as unit:
            order = EndpointOrder("https://hooks.example/lethe", SignatureScheme.ed25519)
            create_endpoint(unit, deployment.vault, order, actor=ACTOR)
        deployment.start("service.control")
        deployment.start("workers")
        line = deployment.trained_line("bot", base, people(8))
    finally:
        deployment.stop()
    return Trained(home, database, line)


def new_database(
    request: pytest.FixtureRequest, backend: str, template: str | None = None
) -> tuple[str | None, dict[str, str]]:
    if backend == "sqlite":
        return None, {}
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create_database(template=template or request.getfixturevalue("migrated_postgres"))
    return name, {"database_url": server.url(name)}


@pytest.fixture
def opened(
    request: pytest.FixtureRequest, trained: Callable[[str], Trained], redis_url: str, tmp_path: Path
) -> Iterator[Open]:
    """Open a deployment on a fresh copy of what was trained, or on nothing; it is stopped after the test."""
    running: list[Deployment] = []

    def open_(backend: str, *, has_line: bool = True, redis: str = redis_url, **settings: object) -> Deployment:
        home, template = tmp_path / "home", None
        if has_line:
            source = trained(backend)
            shutil.copytree(source.home, home, ignore=shutil.ignore_patterns("*.log"))
            template = source.database
        _, url = new_database(request, backend, template)
        running.append(Deployment(home, redis, **{**PACE, **url, **settings}))
        return running[-1]

    yield open_
    for deployment in running:
        deployment.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many cases each test had, and how they ended."""
    counts: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            if outcome != "passed" or report.when == "call":
                counts.setdefault(report.nodeid.partition("[")[0], Counter())[outcome] += 1
    terminalreporter.section("cases")
    for test, ended in sorted(counts.items()):
        terminalreporter.line(f"{ended['passed']:4} passed {ended['failed'] + ended['error']:4} failed  {test}")
    total = sum(counts.values(), Counter())
    terminalreporter.line(f"{total['passed']:4} passed {total['failed'] + total['error']:4} failed  in all")
