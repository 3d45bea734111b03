"""The embedded stack of the demonstration: `lethe up` in a process of its own, on a home of its own."""

import os
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Self

import httpx

from service.cli.processes import Guardian, Process
from service.evidence.tokens import new_token

START_TIMEOUT_S = 180
STOP_GRACE_S = 60
POLL_S = 0.1


class StackFailed(Exception):
    """`lethe up` did not come up."""


class EmbeddedStack:
    """Runs `lethe up` on a fresh `home` while the context is open. `key`: an admin key of it.

    The stack ends with us, however we end. `variables` are added to its environment.
    """

    def __init__(self, home: Path, log: Path, **variables: str) -> None:
        self._home = home
        self._log = log
        self._variables = variables
        self.key = new_token()
        self.url = f"http://127.0.0.1:{_free_port()}"

    def __enter__(self) -> Self:
        """Raises StackFailed."""
        shutil.rmtree(self._home, ignore_errors=True)
        self._log.unlink(missing_ok=True)
        self._guardian = Guardian(grace_s=STOP_GRACE_S)
        self._process = Process(
            [sys.executable, "-m", "service.cli.main", "up"],
            log=self._log,
            guardian=self._guardian,
            environment=self._environment(),
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.stop(grace_s=STOP_GRACE_S)
        self._guardian.close()

    def _environment(self) -> dict[str, str]:
        """Ours, but with none of the user's settings of Lethe."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LETHE_")}
        port = self.url.rsplit(":", 1)[1]
        ours = {"LETHE_HOME": str(self._home), "LETHE_PORT": port, "LETHE_ADMIN_KEY": self.key}
        return inherited | ours | self._variables

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._process.exit_status() is None and time.monotonic() < deadline:
            if _is_ready(self.url):
                return
            time.sleep(POLL_S)
        raise StackFailed(f"`lethe up` did not come up. Its output ends with:\n{self._process.last_lines()}")


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).is_success
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
