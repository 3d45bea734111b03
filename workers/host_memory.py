"""How much main memory a process holds, and how much there is."""

import os
from contextlib import suppress
from pathlib import Path

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def private_bytes(pid: int) -> int:
    """What a process holds for itself, without the files it has mapped; 0 if that cannot be told."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * PAGE_BYTES


def total_bytes() -> int:
    """What the machine has, or the container that this process runs in."""
    found = [os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES]
    for limit in _CGROUP_LIMITS:
        # A group without a limit says `max`.
        with suppress(OSError, ValueError):
            found.append(int(limit.read_text()))
    return min(found)
