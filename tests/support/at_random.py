"""Random operations and faults around a rebuild, so that they meet as nobody thought of."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from service.domain.adapters import Strategy
from service.domain.errors import Busy, LetheError
from service.domain.states import RequestState
from service.flows import decide
from tests.support.house import ACTOR, correct, remove
from tests.support.stage import Stage, children_if_alive
from tests.support.under_fire import UnderFire
from tests.support.waiting import wait_until

# Shorter than SQLite waits for a lock that a frozen process may hold.
UNREACHED_S = 15.0
END_S = 240.0


class AtRandom:
    """`told`: what happened, in order. The seed decides what is done; when, the machine decides too."""

    def __init__(self, stage: Stage, fire: UnderFire, points: Sequence[str], *, seed: int) -> None:
        self._stage, self._fire, self._points = stage, fire, points
        self._chance = random.Random(seed)
        self._fates = ThreadPoolExecutor()
        self._pending: list[Future[None]] = []
        self._frozen: set[int] = set()
        # The others stay, so that there is always something to train on.
        self._removable = sorted(fire.contents)[:10]
        self._correctable = sorted(fire.contents)
        self.told: list[str] = [f"seed {seed}"]
        self._weights: Mapping[Callable[[], None], int] = {
            self.remove: 5, self.correct: 2, self.cancel: 3, self.hold: 3, self.release: 3, self.rebuild: 3,
            self.kill_engine: 2, self.kill_worker: 2, self.freeze_worker: 1, self.kill_control: 1, self.fail_point: 4,
        }  # fmt: skip

    def play(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.rebuild()
        while time.monotonic() < end:
            (act,) = self._chance.choices(list(self._weights), list(self._weights.values()))
            try:
                act()
            except LetheError as error:
                self.told.append(f"  refused: {error}")
            time.sleep(self._chance.random())
            self._stage.revive()
        for fate in self._pending:
            fate.result()
        self._fates.shutdown()
        self._stage.mend()

    def bring_to_an_end(self) -> None:
        """Whatever is not on hold is done; an operator tries again what needs attention."""
        wait_until(self._is_settled, seconds=END_S)
        self._fire.settle()

    def _is_settled(self) -> bool:
        for request in self._fire.in_state(RequestState.needs_attention):
            with suppress(LetheError), self._stage.deployment.store.write() as unit:
                decide.retry(unit, request, actor=ACTOR)
                self.told.append(f"retry {request}")
        requests = [self._stage.deployment.request(request) for request in self._fire.asked]
        return all(request.on_hold or request.finished_at is not None for request in requests)

    def bake(self) -> None:
        """What is held is released, and all that was answered is taken into an anchor."""
        for request in self.held():
            self._fire.release(request)
        self.bring_to_an_end()
        while True:
            try:
                self._fire.rebuild()
                break
            except Busy:
                time.sleep(0.2)
        self.bring_to_an_end()

    def held(self) -> list[str]:
        return [request for request in self._fire.asked if self._stage.deployment.request(request).on_hold]

    # Clients and operators

    def remove(self) -> None:
        names = self._chance.sample(self._removable, self._chance.choice((1, 1, 2)))
        strategy = self._chance.choice((Strategy.influence, Strategy.influence, Strategy.rebuild))
        self.told.append(f"remove {names} by {strategy}")
        self._fire.ask(remove(*names), strategy)

    def correct(self) -> None:
        name = self._chance.choice(self._correctable)
        strategy = self._chance.choice((Strategy.influence, Strategy.rebuild, Strategy.rebuild))
        self.told.append(f"correct {name} by {strategy}")
        self._fire.ask(correct(name, f"Corrected, {name}."), strategy)
        self._correctable.remove(name)

    def cancel(self) -> None:
        self._decide("cancel", self._fire.cancel)

    def hold(self) -> None:
        self._decide("hold", self._fire.hold)

    def release(self) -> None:
        held = self.held()
        if held:
            request = self._chance.choice(held)
            self.told.append(f"release {request}")
            self._fire.release(request)

    def _decide(self, verb: str, act: Callable[[str], None]) -> None:
        if self._fire.asked:
            # The newest are most likely to be open.
            request = self._chance.choice(list(self._fire.asked)[-4:])
            self.told.append(f"{verb} {request}")
            act(request)

    def rebuild(self) -> None:
        self.told.append("rebuild")
        self._fire.rebuild()

    # Faults

    def kill_engine(self) -> None:
        children = children_if_alive(self._worker())
        if children:
            self.told.append(f"kill engine {children[0]}")
            send(children[0], signal.SIGKILL)

    def kill_worker(self) -> None:
        worker = self._worker()
        self.told.append(f"kill worker {worker.pid}")
        children = children_if_alive(worker)
        worker.kill()
        worker.wait()
        for child in children:
            send(child, signal.SIGCONT)

    def freeze_worker(self) -> None:
        worker = self._worker()
        if not self._frozen:
            self.told.append(f"freeze worker {worker.pid}")
            self._frozen.add(worker.pid)
            with self._stage.deployment.store.write():
                worker.send_signal(signal.SIGSTOP)
            self._pending.append(self._fates.submit(self._thaw, worker.pid))

    def _thaw(self, pid: int) -> None:
        time.sleep(self._stage.deployment.settings.lease_s + 1)
        send(pid, signal.SIGCONT)
        self._frozen.discard(pid)

    def kill_control(self) -> None:
        control = self._stage.control
        assert control is not None
        self.told.append("kill control")
        control.kill()
        control.wait()

    def fail_point(self) -> None:
        points = [point for point in self._points if not self._stage.is_armed(point)]
        point, dies = self._chance.choice(points), self._chance.random() < 0.6
        self.told.append(f"arm {point}, to {'die' if dies else 'oversleep'}")
        self._stage.arm(point)
        self._pending.append(self._fates.submit(self._meet, point, dies))

    def _meet(self, point: str, dies: bool) -> None:
        """Whoever comes by the point is killed there, or goes on after its lease."""
        try:
            wait_until(lambda: not self._stage.is_armed(point), seconds=UNREACHED_S)
        except AssertionError:
            self._stage.disarm(point)
            return
        self.told.append(f"  {point} was reached")
        if not dies:
            time.sleep(self._stage.deployment.settings.lease_s + 1)
        for pid in self._stage.standing():
            if pid not in self._frozen:
                send(pid, signal.SIGKILL if dies else signal.SIGCONT)

    def _worker(self) -> subprocess.Popen[bytes]:
        return self._chance.choice(self._stage.workers)


def send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
