"""`lethe up`, as a process: it greets with a key that works, keeps its parts alive, and ends with all of them."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest

from service.cli.processes import Guardian, Process
from tests.support.waiting import runs, wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see who holds the lock"),
]

START_S = 60
COMMAND = [sys.executable, "-m", "service.cli.main", "up"]
PARTS = {"redis-server", "service.api", "service.control", "service.control.sender", "workers"}


class Up:
    """A running `lethe up` and what it has printed."""

    def __init__(self, home: Path, guardian: Guardian, **settings: str) -> None:
        variables = {"LETHE_HOME": str(home), "LETHE_PORT": "0", "LETHE_DEVICE": "cpu", "LETHE_STOP_GRACE_S": "5"}
        self.home = home
        self.output = home.parent / f"output-{uuid.uuid4()}"
        self.process = Process(
            COMMAND, log=self.output, guardian=guardian, environment=os.environ | variables | settings
        )

    def wait(self) -> "Up":
        wait_until(lambda: "Ctrl-C" in self.text or self.process.exit_status() is not None, seconds=START_S)
        assert "Ctrl-C" in self.text, self.text
        return self

    def wait_for_end(self) -> int:
        wait_until(lambda: self.process.exit_status() is not None, seconds=START_S)
        status = self.process.exit_status()
        assert status is not None
        return status

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def url(self) -> str:
        return next(word for word in self.text.split() if word.startswith("http"))

    @property
    def key(self) -> str | None:
        return next((word for word in self.text.split() if word.startswith("lethe_")), None)

    @property
    def curl(self) -> str:
        return next(line.partition("try:")[2] for line in self.text.splitlines() if line.startswith("try:"))

    def parts(self) -> dict[str, int]:
        """The processes of this home by what they run; of several that run the same, one."""
        return {part: pid for pid, part in self.processes()}

    def processes(self) -> Iterator[tuple[int, str]]:
        """Whoever holds the home's lock open, but for the stack, and what it runs."""
        for process in Path("/proc").glob("[0-9]*"):
            if int(process.name) == self.process.pid:
                continue
            try:
                held = {str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()}
                command = (process / "cmdline").read_bytes().decode().split("\0")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            # A process that is just ending has no command line any more.
            if str(self.home / "stack.lock") in held and any(command):
                yield int(process.name), command[2] if command[1:2] == ["-m"] else "redis-server"

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        os.kill(self.process.pid, number)
        return self.wait_for_end()


def is_free(home: Path) -> bool:
    """Whether no process holds the home's lock."""
    with (home / "stack.lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, guardian: Guardian) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("up") / "home", guardian)
    try:
        yield up.wait()
    finally:
        up.stop(signal.SIGTERM)


def test_it_runs_every_part(up: Up) -> None:
    assert up.parts().keys() == PARTS


def test_everything_gives_way_to_the_api(up: Up) -> None:
    niceness = {part: os.getpriority(os.PRIO_PROCESS, pid) for part, pid in up.parts().items()}
    assert niceness["service.api"] == niceness["redis-server"]
    background = PARTS - {"service.api", "redis-server"}
    assert all(niceness[part] > niceness["service.api"] for part in background), niceness


def test_the_curl_line_it_prints_works(up: Up) -> None:
    answer = subprocess.run(f"{up.curl} --silent --show-error --fail", shell=True, capture_output=True, text=True)  # noqa: S602
    assert answer.returncode == 0, answer.stderr
    assert isinstance(json.loads(answer.stdout), dict)


def test_without_the_key_nothing_is_shown(up: Up) -> None:
    assert httpx.get(f"{up.url}/v1/adapters").status_code == 401


def test_its_files_are_closed_to_other_users(up: Up) -> None:
    assert up.home.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_killed_part_comes_back(up: Up, part: str) -> None:
    before = up.parts()[part]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: up.parts().get(part, before) != before, seconds=START_S)
    wait_until(lambda: _ready(up.url), seconds=START_S)
    assert "is started again in" in up.text


def test_of_two_api_processes_one_answers_while_the_other_is_started_again(tmp_path: Path, guardian: Guardian) -> None:
    up = Up(tmp_path / "home", guardian, LETHE_API_PROCESSES="2").wait()
    try:
        asked = ask_until_both_have_answered(up)
        for victim in apis(up):
            os.kill(victim, signal.SIGKILL)
            asked += ask_until_both_have_answered(up, without=victim)
        counted = httpx.get(f"{up.url}/metrics").text
        assert down(up.home).startswith("stopped")
        assert not list(up.processes())
        assert up.wait_for_end() == 0
    finally:
        up.process.stop(grace_s=START_S)
    (line,) = [line for line in counted.splitlines() if "_count{" in line and 'route="/readyz"' in line]
    assert float(line.split()[-1]) >= asked, "each tells what all have counted, the dead among them"


def test_a_second_stack_on_the_same_home_is_refused(up: Up) -> None:
    result = subprocess.run(
        COMMAND,
        env=os.environ | {"LETHE_HOME": str(up.home), "LETHE_PORT": "0", "LETHE_STOP_GRACE_S": "0"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode != 0
    assert "Another stack runs" in " ".join((result.stdout + result.stderr).split())
    assert up.parts().keys() == PARTS


def test_a_taken_port_is_named_and_nothing_is_left_behind(tmp_path: Path, guardian: Guardian) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stack = Up(tmp_path / "home", guardian, LETHE_PORT=str(port))
        assert stack.wait_for_end() != 0
    assert str(port) in stack.text
    assert is_free(stack.home)


def test_a_home_goes_on_where_it_was_after_a_stop_and_after_a_kill(tmp_path: Path, guardian: Guardian) -> None:
    stopped = Up(tmp_path / "home", guardian).wait()
    parts, key = stopped.parts(), stopped.key
    assert key is not None
    assert stopped.stop(signal.SIGINT) == 0
    assert not any(map(runs, parts.values()))
    assert is_free(stopped.home)

    given = "lethe_given-by-automation-0001"
    killed = Up(tmp_path / "home", guardian, LETHE_ADMIN_KEY=given).wait()
    assert killed.key is None, "a key is shown once, and one that was given is not shown at all"
    assert [admits(killed.url, each) for each in (key, given, "lethe_made-up")] == [True, True, False]
    parts = killed.parts()
    assert parts.keys() == PARTS
    killed.stop(signal.SIGKILL)

    last = Up(tmp_path / "home", guardian).wait()
    assert not any(map(runs, parts.values())), "two stacks shared a home"
    assert [admits(last.url, each) for each in (key, given)] == [True, False], "it counts while the setting names it"
    assert last.stop(signal.SIGTERM) == 0


def test_a_start_that_is_interrupted_leaves_nothing_behind(tmp_path: Path, guardian: Guardian) -> None:
    stack = Up(tmp_path / "home", guardian)
    wait_until(lambda: (stack.home / "logs" / "api.log").exists(), seconds=START_S)
    assert stack.stop() == 0
    assert is_free(stack.home)
    assert not stack.parts()


def test_what_does_not_run_need_not_be_stopped(tmp_path: Path) -> None:
    assert down(tmp_path / "home").startswith("nothing runs")


def down(home: Path) -> str:
    command = [*COMMAND[:-1], "down"]
    return subprocess.check_output(command, env=os.environ | {"LETHE_HOME": str(home)}, text=True, timeout=START_S)


def apis(up: Up) -> set[int]:
    return {pid for pid, part in up.processes() if part == "service.api"}


def ask_until_both_have_answered(up: Up, *, without: int = 0) -> int:
    """How many calls it took; whoever takes one, it is answered. A process that has answered counts its calls."""
    deadline = time.monotonic() + START_S
    for asked in count(1):
        assert _ready(up.url)
        serving = {pid for pid in apis(up) - {without} if (up.home / "metrics" / f"histogram_{pid}.db").exists()}
        if len(serving) == 2:
            return asked
        assert time.monotonic() < deadline, up.text
        time.sleep(0.02)
    raise AssertionError("it is counted without end")


def admits(url: str, key: str) -> bool:
    answer = httpx.get(f"{url}/v1/adapters", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code in (200, 401)
    return answer.is_success


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).is_success
    except httpx.TransportError:
        return False
