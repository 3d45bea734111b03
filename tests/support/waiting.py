"""Waiting for what other processes do."""

import os
import time
from collections.abc import Callable
from pathlib import Path


def wait_until(happened: Callable[[], bool], *, seconds: float = 10) -> None:
    """Return as soon as something has happened; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process exists and has not ended. A zombie, which only waits for its parent, has."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self").exists():
        return _exists(pid)
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _exists(pid: int) -> bool:
    """For systems without /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
