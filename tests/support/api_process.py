"""`python -m service.api` as a process that can be killed."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from service.settings import Settings
from tests.support.waiting import wait_until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One process. It answers once this is made; whoever makes it ends it."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.url, self.log = f"http://{settings.host}:{settings.port}", log
        environment = {**os.environ, **settings.environment()}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.api"], env=environment, stdout=output, stderr=output
            )
        wait_until(self._answers, seconds=30)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/livez").is_success
        except httpx.TransportError:
            return False
