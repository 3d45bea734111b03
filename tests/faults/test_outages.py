"""What everything stands on goes away for a while: Redis, the database, the disk, the blob store."""

import os
import resource
import signal
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from service.cli.processes import Guardian
from service.cli.redis_server import start_redis
from service.domain.states import RequestState, RunState
from service.store.database import Unit
from tests.faults.conftest import Open
from tests.faults.matrix import ON_EACH
from tests.support.armed import children_of, receipts, until_quiet
from tests.support.deployment import Deployment
from tests.support.house import remove
from tests.support.invariants import assert_nothing_lost
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.matrix]

SMALL_FILE = 4_096


def all_well(deployment: Deployment, *requests: str) -> None:
    given = receipts(deployment, *requests)
    for request in requests:
        deployment.until(lambda unit, request=request: deployment.revive() or is_over(unit, request))
        deployment.until_succeeded(request)
    until_quiet(deployment)
    assert_nothing_lost(deployment, given)


def is_over(unit: Unit, request: str) -> bool:
    row = unit.requests.get(request)
    assert row is not None
    return row.state in (RequestState.succeeded, RequestState.needs_attention)


def line_of(deployment: Deployment) -> str:
    with deployment.store.read() as unit:
        return unit.lines.list()[0].id


def was_requeued(unit: Unit, reason: str) -> bool:
    return any(event.data.get("reason") == reason for event in unit.feed.events(0, limit=10_000))


@pytest.mark.parametrize("backend", ON_EACH)
def test_redis_is_flushed_in_mid_run(backend: str, opened: Open) -> None:
    deployment = opened(backend)
    deployment.start("service.control")
    deployment.start("workers")
    first = deployment.submit(remove("p0-0"))
    deployment.until_running(line_of(deployment))
    with Redis.from_url(deployment.settings.redis_url) as client:
        client.flushall()
    second = deployment.submit(remove("p1-0"))
    all_well(deployment, first, second)


@pytest.mark.parametrize("backend", ON_EACH)
def test_redis_is_killed_and_started_again(backend: str, opened: Open, guardian: Guardian, tmp_path: Path) -> None:
    directory, socket = tmp_path / "redis", tmp_path / "redis" / "redis.sock"
    server = start_redis(directory=directory, socket=socket, log=tmp_path / "log", guardian=guardian)
    try:
        deployment = opened(backend, redis=f"unix://{socket}")
        deployment.start("service.control")
        deployment.start("workers")
        first = deployment.submit(remove("p0-0"))
        deployment.until_running(line_of(deployment))
        server.stop(grace_s=0)
        second = deployment.submit(remove("p1-0"))
        server = start_redis(directory=directory, socket=socket, log=tmp_path / "log", guardian=guardian)
        all_well(deployment, first, second)
        deployment.stop()
    finally:
        server.stop(grace_s=0)


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
def test_the_database_is_killed_and_started_again(opened: Open) -> None:
    deployment = opened("postgres")
    promise_durably(deployment)
    deployment.start("service.control")
    deployment.start("workers")
    first = deployment.submit(remove("p0-0"))
    deployment.until_running(line_of(deployment))
    crash_database(deployment)
    second = deployment.submit(remove("p1-0"))
    all_well(deployment, first, second)


def promise_durably(deployment: Deployment) -> None:
    """The tests' server loses commits when it crashes, unless a database asks for more, and sets sequences back that
    were copied with their database since its last checkpoint."""
    with deployment.store.engine.connect() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = on"))
        connection.execute(text("CHECKPOINT"))
        connection.commit()
    deployment.store.engine.dispose()


def crash_database(deployment: Deployment) -> None:
    """A server process dies, so the whole server ends every session and recovers from its log."""
    other = "SELECT min(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with deployment.store.engine.connect() as connection:
        session = int(connection.scalar(text(other)))
    os.kill(session, signal.SIGKILL)

    def answers() -> bool:
        try:
            with deployment.store.engine.connect() as connection:
                return bool(connection.scalar(text("SELECT NOT pg_is_in_recovery()")))
        except OperationalError:
            return False

    wait_until(lambda: not answers(), seconds=10)
    deployment.store.engine.dispose()
    wait_until(answers, seconds=60)


@pytest.mark.xdist_group("sqlite")
def test_the_disk_is_full_where_the_engine_writes(opened: Open) -> None:
    deployment = opened("sqlite")
    deployment.start("service.control")
    worker = deployment.start("workers")
    first = deployment.submit(remove("p0-0"))
    deployment.until_succeeded(first)
    (child,) = children_of(worker)
    resource.prlimit(child, resource.RLIMIT_FSIZE, (SMALL_FILE, resource.RLIM_INFINITY))
    second = deployment.submit(remove("p1-0"))
    deployment.until(lambda unit: was_requeued(unit, "io-error"))
    resource.prlimit(child, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    all_well(deployment, first, second)


@pytest.mark.parametrize("fault", ["enospc", "raise:builtins.PermissionError"])
@pytest.mark.parametrize("point", ["store.drafted", "store.copied"])
@pytest.mark.parametrize("backend", ON_EACH)
def test_the_blob_store_is_full_or_refuses(backend: str, point: str, fault: str, opened: Open) -> None:
    deployment = opened(backend)
    deployment.start("service.control")
    worker = deployment.start("workers", armed=f"{point}={fault}")
    request = deployment.submit(remove("p0-0"))
    deployment.until(lambda unit: was_requeued(unit, "worker-error"))
    worker.terminate()
    worker.wait(timeout=30)
    deployment.start("workers")
    all_well(deployment, request)
    with deployment.store.read() as unit:
        assert {run.state for run in unit.runs.list(after=None, limit=10).items} == {RunState.succeeded}
    drafts = deployment.settings.home / "blobs" / ".drafts"
    wait_until(lambda: not any(drafts.glob("*")), seconds=10)
