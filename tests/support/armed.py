"""A process that fails at a fail-point once, and whoever looks after it."""

import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from os import kill
from pathlib import Path

import httpx

from service.domain.states import RunState
from service.store.database import Unit
from tests.support.deployment import Deployment
from tests.support.waiting import wait_until

PATIENCE_S = 90.0


@dataclass
class Armed:
    """`module`, started to meet with `fault` (`kill`, `stop` or `raise`) at `point`; `also`: other fail-points."""

    deployment: Deployment
    module: str
    point: str
    fault: str
    also: str = ""

    def __post_init__(self) -> None:
        self.latch = self.deployment.settings.home / "fired"
        armed = f"{self.point}={self.fault}@{self.latch} {self.also}"
        self.process = self.deployment.start(self.module, armed=armed)

    def see_it_through(self) -> None:
        """Wait for the fault. Then the dead process is started again, and the frozen one goes on after its lease."""
        wait_until(self.latch.exists, seconds=PATIENCE_S)
        if self.fault == "stop":
            frozen = self._frozen()
            time.sleep(self.deployment.settings.lease_s + 1)
            kill(frozen, signal.SIGCONT)
        elif self.fault == "kill" and not self.point.startswith("child."):
            self.process.wait(timeout=30)
            self.deployment.start(self.module)

    def _frozen(self) -> int:
        """The process or its child, whichever stands still."""

        def found() -> list[int]:
            return [pid for pid in (self.process.pid, *children_of(self.process)) if is_stopped(pid)]

        wait_until(lambda: bool(found()), seconds=30)
        return found()[0]


def children_of(process: subprocess.Popen[bytes]) -> list[int]:
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in listing.split()]


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def receipts(deployment: Deployment, *requests: str) -> dict[str, object]:
    """What the clients of these requests were given."""
    return {request: deployment.request(request).receipt for request in requests}


def until_quiet(deployment: Deployment) -> None:
    """Until nothing is left to be done, and what dead workers left is cleaned away."""

    def is_quiet(unit: Unit) -> bool:
        runs = unit.runs.list(after=None, limit=1000).items
        return all(run.state not in (RunState.queued, RunState.running) and run.swept for run in runs)

    deployment.until(is_quiet)
    staging = deployment.settings.home / "staging"
    wait_until(lambda: not any(staging.glob("*")), seconds=30)


def insist(url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, object]:
    """Send the same call again until it is answered, as every client does."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            response = httpx.post(url, content=body, headers=dict(headers), timeout=3)
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        if response.status_code < 500:
            assert response.status_code == 202, response.text
            answer: dict[str, object] = response.json()
            return answer
        time.sleep(0.1)
    raise AssertionError("nobody answered")
