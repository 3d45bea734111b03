"""Processes that stand still where the test wants them to, so that it can act, kill them, or let them go on.

Every process is started with `stop` at every point that is asked for, and a latch for each. A latch that exists keeps
its fail-point from firing: to arm one is to remove it, and that it is there again tells that somebody stands still.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from service.domain.runs import Lane
from service.domain.states import RunState
from service.store.database import Unit
from service.store.tables import Run
from tests.support.armed import children_of, is_stopped
from tests.support.deployment import Deployment
from tests.support.waiting import runs, wait_until

PATIENCE_S = 90.0
CONTROL, WORKERS = "service.control", "workers"


class Stage:
    """One control process and two workers on a deployment."""

    def __init__(self, deployment: Deployment, points: Iterable[str]) -> None:
        self.deployment = deployment
        self._latches = {point: deployment.settings.home / f"latch-{point}" for point in points}
        self._armed = " ".join(f"{point}=stop@{latch}" for point, latch in self._latches.items())
        self._children: set[int] = set()
        self.control: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.mend()

    def mend(self) -> None:
        """Nothing is armed, nobody stands still, and who died is started again."""
        for latch in self._latches.values():
            latch.touch()
        for child in self._children:
            if runs(child):
                os.kill(child, signal.SIGCONT)
        for process in (self.control, *self.workers):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
        self.revive()

    def revive(self) -> None:
        if self.control is None or self.control.poll() is not None:
            self.control = self.deployment.start(CONTROL, armed=self._armed)
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < 2:
            self.workers.append(self.deployment.start(WORKERS, armed=self._armed))

    def close(self) -> None:
        self.mend()
        self.deployment.stop()
        for child in self._children:
            if runs(child):
                os.kill(child, signal.SIGKILL)

    # Fail-points

    def arm(self, point: str) -> None:
        """Whoever comes by next stands still."""
        self._latches[point].unlink()

    def reached(self, point: str) -> None:
        """Wait until somebody stands still there."""
        wait_until(self._latches[point].exists, seconds=PATIENCE_S)

    @contextmanager
    def nobody_hears(self) -> Iterator[None]:
        """What is filed meanwhile reaches the workers together."""
        assert self.control is not None
        # While the test holds SQLite's only write lock, control does not.
        with self.deployment.store.write():
            self.control.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.control.send_signal(signal.SIGCONT)

    # Who is at a run

    def holder(self, run: Run) -> tuple[subprocess.Popen[bytes], int]:
        """The worker that holds a run, and its child."""
        (worker,) = [worker for worker in self.workers if str(run.worker).endswith(f"-{worker.pid}")]
        (child,) = children_of(worker)
        self._children.add(child)
        return worker, child

    @contextmanager
    def alone(self, run: Run) -> Iterator[None]:
        """The worker that holds a run, or held it, is the only one meanwhile."""
        held_by, _ = self.holder(run)
        (other,) = [worker for worker in self.workers if worker is not held_by]
        with self.deployment.store.write():
            other.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            other.send_signal(signal.SIGCONT)

    def rebuild(self, line: str) -> Run:
        """The rebuild that somebody is at."""
        with self.deployment.store.read() as unit:
            run = unit.runs.running(line, Lane.compact)
        assert run is not None
        return run

    def standing(self) -> list[int]:
        """The processes, children included, that stand still."""
        processes = [process for process in (self.control, *self.workers) if process and process.poll() is None]
        alive = [pid for process in processes for pid in (process.pid, *children_if_alive(process))]
        self._children.update(set(alive) - {process.pid for process in processes})
        return [pid for pid in alive if runs(pid) and is_stopped(pid)]

    def disarm(self, point: str) -> None:
        self._latches[point].touch()

    def is_armed(self, point: str) -> bool:
        return not self._latches[point].exists()

    # What happens to them

    def go_on(self, run: Run) -> None:
        """The child, or the worker itself."""
        worker, child = self.holder(run)
        os.kill(child, signal.SIGCONT)
        worker.send_signal(signal.SIGCONT)

    def kill_engine(self, run: Run) -> None:
        os.kill(self.holder(run)[1], signal.SIGKILL)

    def kill_worker(self, run: Run) -> None:
        worker, child = self.holder(run)
        worker.kill()
        worker.wait()
        # It sees that its worker is gone, and ends.
        os.kill(child, signal.SIGCONT)
        self.revive()

    def freeze_worker(self, run: Run) -> None:
        """Past its lease, until another one has done its work; then it goes on."""
        worker, child = self.holder(run)
        with self.deployment.store.write():
            worker.send_signal(signal.SIGSTOP)

        def is_done_by_another(unit: Unit) -> bool:
            now = unit.runs.get(run.id)
            return now is not None and now.fence > run.fence and now.state not in (RunState.queued, RunState.running)

        self.deployment.until(is_done_by_another)
        os.kill(child, signal.SIGCONT)
        worker.send_signal(signal.SIGCONT)

    def oversleep(self, run: Run) -> None:
        """A worker that stands still, perhaps with SQLite's write lock, goes on when its lease is over."""
        time.sleep(self.deployment.settings.lease_s + 1)
        self.go_on(run)

    def kill_control(self, point: str) -> None:
        """As soon as it stands still there."""
        assert self.control is not None
        self.reached(point)
        self.control.kill()
        self.control.wait()
        self.revive()


def children_if_alive(process: subprocess.Popen[bytes]) -> list[int]:
    try:
        return children_of(process)
    except OSError:
        return []
