"""Typed messages between the supervisor and its engine child, over one inherited socket.

Both ends are processes of ours on one machine and the socket has no name, so pickled dataclasses are
safe here; nothing from outside ever reaches it.
"""

import socket
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TypeAlias

from service.domain.engine import Job, Progress, Result


@dataclass(frozen=True, slots=True)
class Execute:
    """Run this job and answer with its result."""

    job: Job


@dataclass(frozen=True, slots=True)
class Yield:
    """Stop the present training job at its next checkpoint."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Drop at once what is kept for any anchor but these."""

    anchors: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ready:
    """The child is up; `device` is where it computes."""

    device: str


Order: TypeAlias = Execute | Yield | Keep
Message: TypeAlias = Ready | Progress | Result


class Channel:
    """One end of the socket. Any thread may send; one receives."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    @classmethod
    def from_descriptor(cls, descriptor: int) -> "Channel":
        """The child's end, inherited as an open file descriptor."""
        return cls(Connection(descriptor))

    def send(self, message: Order | Message) -> None:
        """Raises OSError if the other end is gone."""
        with self._sending:
            self._connection.send(message)

    def receive(self) -> Order | Message:
        """Wait for the next message.

        Raises:
            EOFError: the other end is gone.
        """
        message: Order | Message = self._connection.recv()
        return message

    def poll(self, timeout_s: float) -> bool:
        """Whether a message, or the end of the channel, arrives within `timeout_s`."""
        return self._connection.poll(timeout_s)

    def close(self) -> None:
        """The other end sees the channel end."""
        with self._sending:
            self._connection.close()


def pair() -> tuple[Channel, int]:
    """A new socket: our end, and the descriptor for the child to inherit."""
    ours, theirs = socket.socketpair()
    return Channel(Connection(ours.detach())), theirs.detach()
