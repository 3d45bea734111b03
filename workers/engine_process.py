"""The supervisor's handle on its engine child: start it, give it jobs, kill it."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from service.domain.engine import EngineFailure, FailureClass, Job, Progress, Result, Stage
from workers.channel import Channel, Execute, Keep, Yield, pair
from workers.host_memory import private_bytes

POLL_S = 0.1
START_TIMEOUT_S = 300.0
GIB = 2**30
# What such a child still holds may be what the next attempt lacks.
_NEEDS_A_FRESH_CHILD = (FailureClass.resource, FailureClass.fatal_device)


class Overstayed(Exception):
    """A job did not yield in time; the child was killed in mid-job."""


class EngineUnavailable(Exception):
    """The child does not start: something is wrong with this worker, and not with the job."""


class Outgrown(Exception):
    """The child took more memory than it may."""


class EngineProcess:
    """At most one child, started on demand and kept between jobs.

    Args:
        environment: variables of the child, the `LETHE_` settings among them.
        memory_bytes: main memory that the child may hold for itself.
    """

    def __init__(self, environment: dict[str, str], *, memory_bytes: float = math.inf) -> None:
        self._environment, self._memory_bytes = environment, memory_bytes
        self._stage: Stage | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._ended = 0
        self._told: tuple[int, frozenset[str]] | None = None

    def run(
        self,
        job: Job,
        *,
        on_progress: Callable[[Progress], None],
        watch: Callable[[], None],
        wants_yield: Callable[[], bool],
        deadline_s: float,
        patience_s: float = math.inf,
    ) -> Result:
        """Execute a job in the child and return its result; a dead or late child is a failure, not an exception.

        `watch` is called several times a second and raises to have the job abandoned and the child killed.

        Raises:
            Overstayed: the job went on for longer than `patience_s` after it was asked to yield.
            EngineUnavailable: the child did not come up.
        """
        deadline = time.monotonic() + deadline_s
        self._stage = None
        try:
            channel = self._start(watch)
            channel.send(Execute(job))
            result = self._follow(channel, on_progress, watch, wants_yield, deadline, patience_s)
            if isinstance(result, EngineFailure) and result.kind in _NEEDS_A_FRESH_CHILD:
                self.kill()
            return result
        except TimeoutError:
            self.kill()
            return self._lost(FailureClass.transient, "deadline", "The run took longer than its deadline")
        except (EOFError, OSError):
            return self._lost(FailureClass.fatal_device, "child-died", f"The engine child {_end(self.kill())}")
        except Outgrown:
            self.kill()
            told = f"The engine child took more than {self._memory_bytes / GIB:.1f} GiB of main memory"
            return self._lost(FailureClass.resource, "out-of-memory", told)
        except BaseException:
            self.kill()
            raise
        finally:
            self._ended += 1

    @property
    def pid(self) -> int | None:
        """The child's process id, if there is a child."""
        return None if self._process is None else self._process.pid

    def keep(self, anchors: Collection[str]) -> None:
        """Have the child drop what it keeps for any other anchor, even in mid-job. May be called from any thread.

        Call it again and again: a job may bring back what was dropped while it was under way.
        """
        channel, news = self._channel, (self._ended, frozenset(anchors))
        if channel is not None and news != self._told:
            self._told = news
            # A child that is gone keeps nothing.
            with suppress(OSError):
                channel.send(Keep(news[1]))

    def kill(self) -> int | None:
        """SIGKILL the child, if there is one; returns its exit status."""
        process, channel = self._process, self._channel
        self._process = self._channel = None
        if process is not None and process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        if channel is not None:
            # After the kill, which ends every attempt to send to a child that does not listen.
            channel.close()
        return None if process is None else process.wait()

    def _lost(self, kind: FailureClass, code: str, told: str) -> EngineFailure:
        return EngineFailure(kind, code, f"{told}{f' in stage {self._stage}' if self._stage else ''}.")

    def _start(self, watch: Callable[[], None]) -> Channel:
        """Raises EngineUnavailable."""
        if self._process is not None and self._process.poll() is not None:
            self.kill()
        if self._channel is None:
            ours, theirs = pair()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers.child", str(theirs)], pass_fds=[theirs], env=self._environment
            )
            os.close(theirs)
            self._channel = ours
            try:
                self._await_ready(ours, watch)
            except (EOFError, OSError) as error:
                raise EngineUnavailable(f"The engine child {_end(self.kill())} before it was ready.") from error
        return self._channel

    def _await_ready(self, channel: Channel, watch: Callable[[], None]) -> None:
        """Raises EOFError: the child ended. OSError: it takes too long."""
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while not channel.poll(POLL_S):
            watch()
            if time.monotonic() > give_up_at:
                raise TimeoutError
        channel.receive()

    def _follow(
        self,
        channel: Channel,
        on_progress: Callable[[Progress], None],
        watch: Callable[[], None],
        wants_yield: Callable[[], bool],
        deadline: float,
        patience_s: float,
    ) -> Result:
        leave_by = None
        while True:
            if channel.poll(POLL_S):
                message = channel.receive()
                if isinstance(message, Progress):
                    self._stage = message.stage
                    on_progress(message)
                elif isinstance(message, Result):
                    return message
            watch()
            if self._process is not None and private_bytes(self._process.pid) > self._memory_bytes:
                raise Outgrown
            if time.monotonic() > deadline:
                raise TimeoutError
            if leave_by is None and wants_yield():
                channel.send(Yield())
                leave_by = time.monotonic() + patience_s
            if leave_by is not None and time.monotonic() > leave_by:
                raise Overstayed


def _end(status: int | None) -> str:
    """How a child ended, given the exit status that `subprocess` tells."""
    if status is not None and status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
