"""Processes of the stack: started, watched, ended with all they started, and never left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli.processes import Guardian, Process
from tests.support.waiting import runs, wait_until

ROOT = Path(__file__).parents[3]

# Starts a child that sleeps, writes its pid, and sleeps too.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
OBEDIENT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready", flush=True)
time.sleep(60)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


def started(code: str, tmp_path: Path, guardian: Guardian) -> Process:
    process = Process([sys.executable, "-c", code], log=tmp_path / "log", guardian=guardian)
    wait_until(lambda: bool(process.last_lines()) or process.exit_status() is not None)
    return process


def test_its_exit_status_is_known_once_it_has_ended(tmp_path: Path, guardian: Guardian) -> None:
    process = started("print('so long'); raise SystemExit(3)", tmp_path, guardian)
    wait_until(lambda: process.exit_status() is not None)
    assert process.exit_status() == 3
    assert process.last_lines() == "so long"


def test_the_last_lines_of_a_long_log_are_the_last(tmp_path: Path, guardian: Guardian) -> None:
    process = started("for n in range(10_000): print('line', n)", tmp_path, guardian)
    wait_until(lambda: process.exit_status() is not None)
    assert process.last_lines(2) == "line 9998\nline 9999"


def test_a_nice_one_gives_way_to_its_owner_and_leads_a_group_in_the_same_session(
    tmp_path: Path, guardian: Guardian
) -> None:
    process = Process([sys.executable, "-c", OBEDIENT], log=tmp_path / "log", guardian=guardian, niceness=3)
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 3)
    assert os.getpgid(process.pid) == process.pid
    # Linux weighs niceness within a session, and the sessions against each other.
    assert os.getsid(process.pid) == os.getsid(0)
    process.stop(grace_s=10)


def test_stopping_lets_it_end_by_itself(tmp_path: Path, guardian: Guardian) -> None:
    process = started(OBEDIENT, tmp_path, guardian)
    assert process.stop(grace_s=10) == 7


def test_one_that_will_not_end_is_killed_after_the_grace_period(tmp_path: Path, guardian: Guardian) -> None:
    process = started(DEAF, tmp_path, guardian)
    assert process.stop(grace_s=0.1) == -signal.SIGKILL


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_what_it_started_ends_with_it(tmp_path: Path, guardian: Guardian, how: str) -> None:
    process = started(PARENT, tmp_path, guardian)
    child = int(process.last_lines())
    if how == "stopped":
        process.stop(grace_s=5)
    else:
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: process.exit_status() is not None)
    wait_until(lambda: not runs(child))


def test_nothing_outlives_a_killed_owner_not_even_what_ignores_sigterm(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), PARENT, DEAF], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(pids) == 3
    assert all(map(runs, pids))
    owner.kill()
    owner.communicate()
    wait_until(lambda: not any(map(runs, pids)))


OWNER = """
import sys, time
from pathlib import Path
from service.cli.processes import Guardian, Process
place = Path(sys.argv[1])
guardian = Guardian(grace_s=0.3)
processes = [
    Process([sys.executable, "-c", code], log=place / str(number), guardian=guardian)
    for number, code in enumerate(sys.argv[2:])
]
while not all(process.last_lines() for process in processes):
    time.sleep(0.02)
print(*(process.pid for process in processes), processes[0].last_lines(), flush=True)
time.sleep(60)
"""
