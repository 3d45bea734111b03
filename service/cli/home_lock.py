"""The lock of a home: no two stacks share one, not even a new stack and what is left of a killed one."""

import fcntl
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
    file = (home / "stack.lock").open("w")
    deadline = time.monotonic() + patience_s
    for wait in count():
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        if wait == 0:
            say(f"another stack runs on {home}; waiting {patience_s:g} s for it to end …")
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
    file.close()
    raise StackError(f"Another stack runs on {home}.", fix="Stop it, or set LETHE_HOME to another directory.")
