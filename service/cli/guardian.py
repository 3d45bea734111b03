"""Ends process groups whose owner is gone. Run as a script, apart from everything else of ours.

The owner writes `+<group>` when it starts a process group and `-<group>` when that group has ended.
End of file on standard input means that the owner exited, however it died: the groups still listed are
ended, youngest first: SIGTERM to the leader, SIGKILL to the rest after a grace period. A pipe does this on every
Unix, unlike PR_SET_PDEATHSIG, and takes the children of children along. If owner and guardian are both
killed the groups live on, and the lock file of the home, which they hold open, keeps a second stack out.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

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
    for group in reversed(groups):
        end(group, grace_s)


def end(group: int, grace_s: float) -> None:
    """SIGTERM to the leader of a process group, then SIGKILL to what is left of it after the grace period."""
    deadline = time.monotonic() + grace_s
    with contextlib.suppress(ProcessLookupError):
        os.kill(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            time.sleep(POLL_S)
            os.killpg(group, 0)
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.stdin, float(sys.argv[1]))
