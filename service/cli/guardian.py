"""Ends process groups whose owner is gone. Run as a script, apart from everything else of ours.

The owner writes `+<group>` when it starts a process group and `-<group>` when that group has ended.
End of file on standard input means that the owner exited, however it died: the groups still listed are
ended, with SIGTERM to their leaders and SIGKILL to what is left after a grace period. A pipe does this on every
Unix, unlike PR_SET_PDEATHSIG, and takes the children of children along. If owner and guardian are both
killed the groups live on, and the lock file of the home, which they hold open, keeps a second stack out.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable

POLL_S = 0.05


def main(lines: Iterable[str], grace_s: float) -> None:
    """Follow the owner's notes until they end, then end what is left."""
    groups: list[int] = []
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            groups.append(group)
        else:
            groups.remove(group)
    end(groups, grace_s)


def end(groups: Iterable[int], grace_s: float) -> None:
    """SIGTERM to the leaders of process groups, then SIGKILL to what is left of them after the grace period."""
    deadline = time.monotonic() + grace_s
    left = [group for group in groups if _signal(os.kill, group, signal.SIGTERM)]
    while left and time.monotonic() < deadline:
        time.sleep(POLL_S)
        left = [group for group in left if _signal(os.killpg, group, 0)]
    for group in left:
        _signal(os.killpg, group, signal.SIGKILL)


def _signal(send: Callable[[int, int], None], target: int, number: int) -> bool:
    """Send a signal, 0 only asks; returns whether there was anybody to get it."""
    try:
        send(target, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main(sys.stdin, float(sys.argv[1]))
