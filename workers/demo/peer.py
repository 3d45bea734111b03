"""A process of the demonstration's own that answers questions: one JSON line in, one JSON line out."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

LOG_TAIL_LINES = 15
END_TIMEOUT_S = 10


class PeerFailed(Exception):
    """The process ended instead of answering."""


class Peer:
    """Runs `python -m <module> <arguments>` with additions to the environment; what it logs goes to `log`."""

    def __init__(
        self, module: str, *arguments: str | Path, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                env=os.environ | dict(environment or {}),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, question: Mapping[str, Any], *, meanwhile: Callable[[Any], None] | None = None) -> Any:
        """The answer. Lines with a `progress` member that come before it go to `meanwhile`.

        Raises:
            PeerFailed: the process ended; names the end of its log.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None
        for line in self._process.stdout:
            answer = json.loads(line)
            if "progress" not in answer:
                return answer
            if meanwhile is not None:
                meanwhile(answer["progress"])
        raise self._failed()

    def _failed(self) -> PeerFailed:
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
        return PeerFailed(f"A process of the demonstration ended early. Its log ends with:\n{tail}")

    def close(self) -> None:
        """Closing its input ends the process; SIGKILL if it does not."""
        try:
            self._process.communicate(timeout=END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


Say = Callable[[Mapping[str, Any]], None]


def answer_questions(answer: Callable[[Any, Say], Mapping[str, Any]]) -> None:
    """The other end: answer every line until the input closes. `answer` may report progress through its second
    argument."""
    pipe, sys.stdout = sys.stdout, sys.stderr  # a stray print must not look like an answer

    def say(message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=pipe, flush=True)

    for line in sys.stdin:
        say(answer(json.loads(line), say))
