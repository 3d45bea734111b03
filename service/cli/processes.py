"""Starting, watching and ending the processes of a stack on one machine."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from service.cli import guardian

LOG_TAIL_BYTES = 8_192


class Guardian:
    """Makes sure that no process group outlives this process, even if this process is killed."""

    def __init__(self, *, grace_s: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, str(grace_s)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._lock = threading.Lock()

    def watch(self, group: int) -> None:
        """End this process group when we are gone."""
        self._note(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The process group has ended by itself."""
        self._note(f"-{group}\n")

    def _note(self, line: str) -> None:
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def close(self) -> None:
        """End the groups still watched, and the guardian."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Process:
    """One running command that leads a process group of its own and writes to a log file.

    Args:
        held_open: file descriptors the process inherits, such as that of a lock.
        niceness: by how much more than its owner it gives way to others for a processor (0 to 19).
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        guardian: Guardian,
        environment: Mapping[str, str] | None = None,
        held_open: Sequence[int] = (),
        niceness: int = 0,
    ) -> None:
        self.log = log
        self._guardian = guardian
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                # Not a session: where Linux shares processors between sessions first, niceness counts within one only.
                process_group=0,
                pass_fds=held_open,
            )
        guardian.watch(self.pid)
        os.setpriority(os.PRIO_PROCESS, self.pid, os.getpriority(os.PRIO_PROCESS, self.pid) + niceness)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def exit_status(self) -> int | None:
        """None while the process runs. Once it has ended, so has everything it started."""
        if self._popen.returncode is None and self._popen.poll() is not None:
            self._sweep()
        return self._popen.returncode

    def stop(self, *, grace_s: float) -> int:
        """SIGTERM, then SIGKILL after the grace period; returns the exit status."""
        if self._popen.returncode is None:
            self._popen.terminate()
            try:
                self._popen.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
            self._sweep()
        return self._popen.returncode

    def _sweep(self) -> None:
        # macOS answers EPERM for a group in which only zombies are left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._guardian.forget(self.pid)

    def last_lines(self, count: int = 20) -> str:
        """The end of the log."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
