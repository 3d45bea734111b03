"""Who is sent to: a lane for each receiver, so that a slow one holds up nobody else."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lane:
    """A receiver to which something is due.

    Args:
        threads: how many may send to it at once.
        send_one: sends what is due longest. False if nothing was, or if it failed.
    """

    name: str
    threads: int
    send_one: Callable[[], bool]
