"""Whether a process without a port is well: its loops leave marks, and a probe looks how old they are.

    python -m service.liveness DIRECTORY SECONDS

ends with status 0 if there are marks and each is younger than that. A loop leaves its mark after a pass that
succeeded, so one that hangs, or fails again and again because the database is away, is seen.
"""

import sys
import time
from pathlib import Path


def mark(directory: Path | None, loop: str) -> None:
    """A pass of this loop succeeded. None: nobody looks."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / loop.replace(" ", "-")).touch()


def stale(directory: Path, *, seconds: float) -> list[str] | None:
    """The loops whose marks are older than that; None if there are no marks at all."""
    marks = {path.name: path.stat().st_mtime for path in directory.glob("*")}
    return sorted(name for name, at in marks.items() if time.time() - at > seconds) if marks else None


def main(arguments: list[str]) -> int:
    found = stale(Path(arguments[1]), seconds=float(arguments[2]))
    if found != []:
        sys.stderr.write("no loop has run yet\n" if found is None else f"stuck: {', '.join(found)}\n")
    return 0 if found == [] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
