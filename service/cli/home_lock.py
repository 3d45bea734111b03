"""The lock of a home: no two stacks share one, not even a new stack and what is left of a killed one."""

import fcntl
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO

from service.cli.errors import StackError

POLL_S = 0.1


def lock_home(home: Path, *, patience_s: float, say: Callable[[str], None]) -> IO[str]:
    """The home's lock, held until the file is closed here and in every process that inherits it.

    What is left of a killed stack ends within the grace period, so it is waited for.

    Raises:
        StackError: another stack holds it.
    """
    file = _file(home).open("a+")
    deadline = time.monotonic() + patience_s
    for wait in count():
        if _taken(file):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            return file
        if wait == 0:
            say(f"another stack runs on {home}; waiting {patience_s:g} s for it to end …")
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
    file.close()
    raise StackError(f"Another stack runs on {home}.", fix="Stop it, or set LETHE_HOME to another directory.")


def stop_holder(home: Path, *, patience_s: float) -> bool:
    """Ask the stack that holds a home to stop, and wait until nothing of it is left. False: there was none.

    Raises:
        StackError: it still runs after that time.
    """
    if not _file(home).exists():
        return False
    with _file(home).open() as file:
        if _taken(file):
            return False
        # Nobody stands there while the lock is only just taken; a killed stack's guardian ends what is left of it.
        with suppress(ValueError, ProcessLookupError):
            os.kill(int(file.read()), signal.SIGTERM)
        deadline = time.monotonic() + patience_s
        while not _taken(file):
            if time.monotonic() >= deadline:
                raise StackError(f"The stack on {home} still runs.", fix="Look into its logs, or end it by Ctrl-C.")
            time.sleep(POLL_S)
    return True


def _file(home: Path) -> Path:
    return home / "stack.lock"


def _taken(file: IO[str]) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
