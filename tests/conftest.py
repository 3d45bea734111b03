"""Real servers for the tests: one Redis, one PostgreSQL and one S3 server a session, started on first use.

`database_url` runs a test on SQLite and on PostgreSQL, each time on a fresh database that is migrated to
the newest schema; `empty_database_url` has no schema yet.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.default import DefaultDialect

from service.cli.processes import Guardian
from service.cli.redis_server import start_redis
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.s3 import s3_server

# Tests share two cores with the servers they start; a thread pool per library only adds contention.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

BACKENDS = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_the_developer() -> None:
    """A LETHE_ variable in the developer's shell must not reach a test."""
    for name in [name for name in os.environ if name.startswith("LETHE_")]:
        del os.environ[name]


@pytest.fixture(autouse=True, scope="session")
def _statements_are_compiled_once() -> Iterator[None]:
    """Nearly every test opens an engine of its own, and compiling its statements anew takes longer than the test.

    SQLAlchemy keys what it compiled by the dialect's identity; here all engines of one dialect share it.
    """
    compiled: dict[object, object] = {}

    def share(connection: Connection) -> None:
        connection.execution_options(compiled_cache=compiled)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DefaultDialect, "__hash__", lambda self: hash(type(self)))
        patch.setattr(DefaultDialect, "__eq__", lambda self, other: type(self) is type(other))
        event.listen(Engine, "engine_connect", share)
        yield
        event.remove(Engine, "engine_connect", share)


@pytest.fixture(scope="session")
def guardian() -> Iterator[Guardian]:
    """Ends the servers below even if the test run itself is killed."""
    with Guardian(grace_s=5) as guardian:
        yield guardian


@pytest.fixture(scope="session")
def redis_server_url(guardian: Guardian, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the session's Redis server."""
    directory = tmp_path_factory.mktemp("redis")
    socket = directory / "redis.sock"
    server = start_redis(directory=directory, socket=socket, log=directory / "log", guardian=guardian)
    yield f"unix://{socket}"
    server.stop(grace_s=5)


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """The URL of a real, empty Redis."""
    with redis.Redis.from_url(redis_server_url) as client:
        client.flushall()
    return redis_server_url


@pytest.fixture(scope="session")
def postgres(guardian: Guardian) -> Iterator[PostgresServer]:
    """The session's PostgreSQL server."""
    with postgres_server(guardian) as server:
        yield server


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The endpoint of the session's S3 server. A second one would not be found: s3fs keeps its connections."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh PostgreSQL database without a schema."""
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the newest schema, to be copied."""
    from service.store.migrate import upgrade

    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """The name of a PostgreSQL database with the newest schema, to be used as a template."""
    from service.store.migrate import upgrade

    name = postgres.create_database()
    upgrade(postgres.url(name))
    return name


@pytest.fixture(params=BACKENDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The SQLAlchemy URL of a fresh database without a schema, on either engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh, migrated database, on either engine."""
    if request.param == "sqlite":
        path = tmp_path / "lethe.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create_database(template=request.getfixturevalue("migrated_postgres"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """The URL of a fresh, migrated SQLite database, for tests that do not depend on the engine."""
    path = tmp_path / "lethe.db"
    shutil.copyfile(migrated_sqlite, path)
    return f"sqlite:///{path}"
