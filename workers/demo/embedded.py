"""The embedded stack of the demonstration: `lethe up` in a process of its own, on a home of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx

from service.evidence.tokens import new_token

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60
POLL_S = 0.1


class StackFailed(Exception):
    """`lethe up` did not come up."""


class EmbeddedStack:
    """Runs `lethe up` on a fresh `home` while the context is open. `key`: an admin key of it."""

    def __init__(self, home: Path, log: Path) -> None:
        shutil.rmtree(home, ignore_errors=True)
        self._log = log
        self.key = new_token()
        self.url = f"http://127.0.0.1:{_free_port()}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LETHE_")}
        environment |= {
            "LETHE_HOME": str(home),
            "LETHE_PORT": self.url.rsplit(":", 1)[1],
            "LETHE_ADMIN_KEY": self.key,
        }
        self._environment = environment

    def __enter__(self) -> Self:
        """Raises StackFailed."""
        with self._log.open("wb") as output:
            # A session of its own: Ctrl-C reaches the demonstration alone, which then stops the stack in order.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli.main", "up"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(POLL_S)
        raise StackFailed(f"`lethe up` did not come up. Its log: {self._log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
