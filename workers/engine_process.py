"""The supervisor's handle on its engine child: start it, give it jobs, kill it."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from service.domain.engine import EngineFailure, FailureClass, Job, Progress, Result
from workers.channel import Channel, Execute, Keep, Yield, pair

POLL_S = 0.1
START_TIMEOUT_S = 300.0


class Overstayed(Exception):
    """A job did not yield in time; the child was killed in mid-job."""


class EngineProcess:
    """At most one child, started on demand and kept between jobs.

    Args:
        environment: variables of the child, the `LETHE_` settings among them.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
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
        """
        deadline = time.monotonic() + deadline_s
        try:
            channel = self._start(watch)
            channel.send(Execute(job))
            return self._follow(channel, on_progress, watch, wants_yield, deadline, patience_s)
        except (EOFError, OSError):
            code = self.kill()
            return EngineFailure(
                FailureClass.fatal_device, "child-died", f"The engine child ended with status {code}."
            )
        except TimeoutError:
            self.kill()
            return EngineFailure(FailureClass.transient, "deadline", "The run took longer than its deadline.")
        except BaseException:
            self.kill()
            raise
        finally:
            self._ended += 1

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

    def _start(self, watch: Callable[[], None]) -> Channel:
        if self._process is not None and self._process.poll() is not None:
            self.kill()
        if self._channel is None:
            ours, theirs = pair()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers.child", str(theirs)], pass_fds=[theirs], env=self._environment
            )
            os.close(theirs)
            self._channel = ours
            deadline = time.monotonic() + START_TIMEOUT_S
            while not ours.poll(POLL_S):
                watch()
                if time.monotonic() > deadline:
                    raise TimeoutError
            ours.receive()
        return self._channel

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
                    on_progress(message)
                elif isinstance(message, Result):
                    return message
            watch()
            if time.monotonic() > deadline:
                raise TimeoutError
            if leave_by is None and wants_yield():
                channel.send(Yield())
                leave_by = time.monotonic() + patience_s
            if leave_by is not None and time.monotonic() > leave_by:
                raise Overstayed
