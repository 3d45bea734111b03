"""The embedded stack behind `lethe up`: Redis, api, control, sender and one worker as one process tree.

A part that ends is started again, at growing intervals. Stopping goes in reverse order of starting. Each
part leads a process group of its own, so Ctrl-C reaches the stack alone; if the stack itself is killed, its
guardian ends them (`service.cli.guardian`). Every part also inherits the lock of the home: two stacks never
share one, not even a new stack and what is left of a killed one.
"""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import Self

import httpx

from service.cli.errors import StackError, StackStopped
from service.cli.home_lock import lock_home
from service.cli.listening import listen, port_of, url_of
from service.cli.processes import Guardian, Process
from service.cli.redis_server import start_redis
from service.domain.errors import LetheError
from service.flows.keys import ensure_admin_key
from service.flows.vault import vault_of
from service.settings import Settings, embedded_redis_socket
from service.store.database import Store
from service.store.migrate import upgrade

POLL_S = 0.1
READY_TIMEOUT_S = 120
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_AFTER_S = 60.0
# Who calls waits for the API, and nobody else: with few processors, everything else gives way to it.
BACKGROUND_NICENESS = 10
MODULES = {"control": "service.control", "sender": "service.control.sender", "worker": "workers"}


@dataclass(slots=True)
class _Part:
    """A process that has to run, and when it is to be started again if it does not."""

    name: str
    start: Callable[[], Process]
    process: Process
    started_at: float
    pause_s: float = FIRST_PAUSE_S
    due_at: float | None = None


class Stack:
    """The running service on this machine, for as long as the context is open.

    `url` is where the API answers, once it runs; `first_key` is the admin key made by this start, if it made one.

    Args:
        say: gets one line of text whenever something happens that an operator should see.
    """

    def __init__(self, settings: Settings, *, say: Callable[[str], None] = print) -> None:
        self._say = say
        self._settings = settings
        self._parts: list[_Part] = []
        self._listener: socket | None = None
        self._watcher = threading.Thread(target=self._watch, name="stack")
        self.stopping = threading.Event()
        self.first_key: str | None = None

    @property
    def url(self) -> str:
        return url_of(self._settings.host, self._settings.port)

    def pid(self, name: str) -> int:
        """The process id of a part: `redis`, `api`, `api-2` and so on, `control`, `sender` or `worker`."""
        return next(part.process.pid for part in self._parts if part.name == name)

    def __enter__(self) -> Self:
        """Start every part and wait until the API is ready.

        Raises:
            StackError: the home is in use, the port is taken, or a part did not come up.
        """
        home = self._settings.home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "logs").mkdir(exist_ok=True)
        self._lock = lock_home(home, patience_s=self._settings.stop_grace_s + 5, say=self._say)
        self._guardian = Guardian(grace_s=self._settings.stop_grace_s)
        try:
            self._listener = listen(self._settings.host, self._settings.port)
            self._settings = self._settings.model_copy(update={"port": port_of(self._listener)})
            self._start_all()
            self._wait_until_ready()
        except BaseException:
            if self.first_key is not None:
                self._say(f"The first admin key was made all the same: {self.first_key}")
            self._stop_all()
            raise
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._watcher.join()
        self._stop_all()

    def _start_all(self) -> None:
        if self._settings.redis_is_embedded:
            self._add("redis", self._start_redis)
        upgrade(self._settings.database_url)
        self.first_key = self._make_first_key()
        environment = os.environ | self._settings.environment() | {"PYTHONUNBUFFERED": "1"}
        self._add_api(environment)
        for name, module in MODULES.items():
            start = partial(self._start_module, name, module, environment, niceness=BACKGROUND_NICENESS)
            self._add(name, start)

    def _add_api(self, environment: dict[str, str]) -> None:
        """As many processes as are wanted, on one socket."""
        assert self._listener is not None, "it was opened before"
        held = self._listener.fileno()
        environment = environment | {"LETHE_LISTEN_FD": str(held)}
        if self._settings.api_processes > 1:
            counts = self._settings.home / "metrics"
            shutil.rmtree(counts, ignore_errors=True)
            counts.mkdir()
            environment |= {"PROMETHEUS_MULTIPROC_DIR": str(counts)}
        for number in range(1, self._settings.api_processes + 1):
            name = "api" if number == 1 else f"api-{number}"
            self._add(name, partial(self._start_module, name, "service.api", environment, held_open=[held]))

    def _add(self, name: str, start: Callable[[], Process]) -> None:
        log = self._log(name)
        if log.exists():
            log.replace(log.with_suffix(".previous.log"))
        self._parts.append(_Part(name, start, process=start(), started_at=time.monotonic()))

    def _start_redis(self) -> Process:
        return start_redis(
            directory=self._settings.home / "redis",
            socket=embedded_redis_socket(self._settings.home),
            log=self._log("redis"),
            guardian=self._guardian,
            held_open=[self._lock.fileno()],
        )

    def _start_module(
        self,
        name: str,
        module: str,
        environment: dict[str, str],
        *,
        held_open: Sequence[int] = (),
        niceness: int = 0,
    ) -> Process:
        return Process(
            [sys.executable, "-m", module],
            log=self._log(name),
            guardian=self._guardian,
            environment=environment,
            held_open=[self._lock.fileno(), *held_open],
            niceness=niceness,
        )

    def _log(self, name: str) -> Path:
        return self._settings.home / "logs" / f"{name}.log"

    def _make_first_key(self) -> str | None:
        """The admin key of a home that has no key yet, or None. The one given by the settings is not news."""
        store = Store(self._settings.database_url)
        try:
            vault = vault_of(store, self._settings)
            given = self._settings.admin_key.get_secret_value() if self._settings.admin_key else None
            with store.write() as unit:
                return ensure_admin_key(unit, vault, given)
        finally:
            store.close()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.stopping.wait(POLL_S):
                raise StackStopped("The service was stopped while it started.")
            for part in self._parts:
                if part.process.exit_status() is not None:
                    raise StackError(_obituary(part))
            if _is_ready(self.url):
                return
        api = next(part for part in self._parts if part.name == "api")
        raise StackError(f"The API was not ready in time. Its log ends with:\n{api.process.last_lines()}")

    def _watch(self) -> None:
        while not self.stopping.wait(POLL_S):
            for part in self._parts:
                self._keep(part, now=time.monotonic())

    def _keep(self, part: _Part, *, now: float) -> None:
        """Start a part again that has ended, after a pause that doubles until it runs steadily."""
        if part.due_at is not None:
            if now >= part.due_at:
                self._restart(part, now)
        elif part.process.exit_status() is not None:
            if now - part.started_at > STEADY_AFTER_S:
                part.pause_s = FIRST_PAUSE_S
            part.due_at = now + part.pause_s
            self._say(f"{_obituary(part)}\nIt is started again in {part.pause_s:g} s.")
            part.pause_s = min(2 * part.pause_s, LONGEST_PAUSE_S)

    def _restart(self, part: _Part, now: float) -> None:
        part.due_at, part.started_at = None, now
        try:
            part.process = part.start()
        except LetheError as error:
            part.due_at = now + part.pause_s
            self._say(error.detail)

    def _stop_all(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for part in reversed(self._parts):
            part.process.stop(grace_s=self._settings.stop_grace_s)
        self._guardian.close()
        self._lock.close()


def _obituary(part: _Part) -> str:
    status = part.process.exit_status()
    return f"The {part.name} process ended with status {status}. Its log ends with:\n{part.process.last_lines()}"


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).is_success
    except httpx.TransportError:
        return False


def up(settings: Settings) -> None:
    """Run the stack in the foreground until SIGINT, SIGTERM or SIGHUP.

    Raises:
        StackError: it could not be started.
    """
    stack = Stack(settings)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stack.stopping.set())
    try:
        with stack:
            print(_greeting(stack, settings), flush=True)
            stack.stopping.wait()
            print("stopping …", flush=True)
    except StackStopped:
        return


def _greeting(stack: Stack, settings: Settings) -> str:
    lines = [
        f"Lethe is ready at {stack.url} (the desk, in a browser; API documentation: {stack.url}/docs)",
        f"data: {settings.home}",
    ]
    if stack.first_key is None:
        lines.append(f"try:  curl {stack.url}/readyz")
    else:
        lines += [
            f"key:  {stack.first_key}   (an admin key, shown this once)",
            f"try:  curl -H 'Authorization: Bearer {stack.first_key}' {stack.url}/v1/adapters",
        ]
    return "\n".join([*lines, "Ctrl-C stops it; the next start goes on where it was."])
