"""Deal the plan's kills, and note for each how long its role was away."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import select

from service.domain.states import RunState
from service.store.tables import Run
from tests.load.soak.plan import Victim
from tests.load.soak.world import World
from tests.support.waiting import runs

POLL_S = 0.05
# What asks the API takes time from those who are measured.
ASK_S = 0.5
# Deaths that had to wait for an engine would else all hit one run, which would rightly be given up.
APART_S = 10.0
PATIENCE_S = 120.0
APIS = (Victim.api, Victim.other_api)
# Of each other process, the loops that leave marks.
LOOPS = {
    Victim.control: ("relay", "reconciler", "erasure-journal", "pusher"),
    Victim.sender: ("webhook-sender",),
    Victim.worker: ("worker",),
}


@dataclass(slots=True)
class Kill:
    """One death, at a `time.time`.

    `interrupted`: the runs that were under way, with their fences; only those of a worker or its engine matter.
    `back_s`: until the process did its work again, whatever runs had to be repeated; None if that was not seen.
    """

    victim: Victim
    pid: int
    at: float
    interrupted: Sequence[tuple[str, int]]
    back_s: float | None = None


class Killer:
    """Deals a plan's deaths from its opening on, and only to who lives.

    An engine's death waits for an engine, and holds up no other.

    Args:
        until: by `time.time`; who was not there until then is let live.
    """

    def __init__(self, world: World, deaths: Sequence[tuple[float, Victim]], *, until: float) -> None:
        self._world, self._until = world, until
        engines = [(moment, victim) for moment, victim in deaths if victim is Victim.engine]
        others = [(moment, victim) for moment, victim in deaths if victim is not Victim.engine]
        self._threads = [threading.Thread(target=self._deal, args=(part,)) for part in (engines, others)]
        self._watches: list[threading.Thread] = []
        # A new connection each time, so that any of the API's processes may take it.
        self._http = httpx.Client(base_url=world.stack.url, headers={"Connection": "close"}, timeout=5)
        self.kills: list[Kill] = []

    def __enter__(self) -> "Killer":
        self._began = time.time()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Deal what is left, and wait until what was killed is back."""
        for thread in self._threads:
            thread.join()
        for watch in self._watches:
            watch.join()
        self._http.close()

    def _deal(self, deaths: Sequence[tuple[float, Victim]]) -> None:
        for moment, victim in deaths:
            time.sleep(max(0.0, min(self._began + moment, self._until) - time.time()))
            kill = self._killed(victim)
            if kill is None:
                return
            self.kills.append(kill)
            if victim is Victim.engine:
                time.sleep(APART_S)
            else:
                self._watches.append(threading.Thread(target=self._watch, args=(kill,)))
                self._watches[-1].start()

    def _killed(self, victim: Victim) -> Kill | None:
        """Killed as soon as it lives; None if it did not before the end."""
        while time.time() < self._until:
            with suppress(FileNotFoundError, ProcessLookupError):
                pid = self._engine() if victim is Victim.engine else self._world.stack.pid(victim)
                if pid is not None and runs(pid):
                    kill = Kill(victim, pid, time.time(), self._running())
                    os.kill(pid, signal.SIGKILL)
                    return kill
            time.sleep(POLL_S)
        return None

    def _engine(self) -> int | None:
        worker = self._world.stack.pid(Victim.worker)
        listed = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
        return int(listed[0]) if listed else None

    def _running(self) -> Sequence[tuple[str, int]]:
        with self._world.house.store.read() as unit:
            query = select(Run.id, Run.fence).where(Run.state == RunState.running)
            return [(run, fence) for run, fence in unit.session.execute(query)]

    def _watch(self, kill: Kill) -> None:
        is_api = kill.victim in APIS
        works = self._answers(kill) if is_api else self._loops_ran(LOOPS[kill.victim], kill.at)
        while not works():
            if time.time() > kill.at + PATIENCE_S:
                return
            time.sleep(ASK_S if is_api else POLL_S)
        kill.back_s = time.time() - kill.at

    def _answers(self, kill: Kill) -> Callable[[], bool]:
        """Whether the successor itself has answered a call, which is when it begins to count them."""

        def works() -> bool:
            with suppress(httpx.TransportError):
                self._http.get("/livez")
            successor = self._world.stack.pid(kill.victim)
            counts = self._world.settings.home / "metrics" / f"histogram_{successor}.db"
            return successor != kill.pid and counts.exists()

        return works

    def _loops_ran(self, loops: Sequence[str], since: float) -> Callable[[], bool]:
        marks = [self._world.marks / loop for loop in loops]
        return lambda: all(mark.exists() and mark.stat().st_mtime > since for mark in marks)
