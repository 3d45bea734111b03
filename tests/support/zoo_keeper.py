"""Takes adapters in under the interpreter's audit hook: `python -m tests.support.zoo_keeper DIRECTORY`.

Every file NAME in DIRECTORY is unpacked and checked in a process forked for it. A line of JSON tells of each: `name`,
`code`, `events` that were none of reading the upload and writing below NAME.staging, and `peak`, the memory in bytes
by which the process grew.
"""

import contextlib
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from service.domain.errors import LetheError
from service.store.adapter_check import take_adapter
from tests.support import uploads
from tests.support.zoo import tarred, zipped

# Calls on paths, which are the first argument. All else that Python tells its auditors of is not expected.
ON_PATHS = {"open", "os.mkdir", "os.rmdir", "os.remove", "os.listdir", "os.scandir", "shutil.rmtree", "os.rename"}
HARMLESS = {"builtins.id"}


def take(archive: Path, staging: Path) -> str | None:
    try:
        take_adapter(archive, staging)
    except LetheError as refusal:
        return refusal.code
    return None


def watched(archive: Path, staging: Path) -> dict[str, Any]:
    events: list[str] = []
    watching = True

    def is_expected(event: str, arguments: tuple[Any, ...]) -> bool:
        if event in HARMLESS:
            return True
        if event not in ON_PATHS:
            return False
        # By a descriptor, or below one: it was opened by a path.
        if isinstance(arguments[0], int) or (event in ("os.remove", "os.rmdir") and arguments[1] != -1):
            return True
        path = Path(os.fsdecode(arguments[0]))
        if path == archive:
            return event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return path.is_relative_to(staging) or (event == "open" and path == staging.parent and not arguments[2] & 3)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and not is_expected(event, arguments):
            events.append(f"{event} {arguments!r}"[:200])

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.addaudithook(audit)
    code = take(archive, staging)
    watching = False
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return {"name": archive.name, "code": code, "events": events, "peak": peak}


def main() -> None:
    directory = Path(sys.argv[1])
    archives = sorted(path for path in directory.iterdir() if path.is_file())
    # What is imported at first use, is now.
    for pack in (zipped, tarred):
        good = directory / pack.__name__
        good.write_bytes(pack(uploads.files()))
        assert take(good, directory / f"{good.name}.staging") is None
    for archive in archives:
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                told = watched(archive, directory / f"{archive.name}.staging")
                sys.stdout.write(json.dumps(told) + "\n")
                sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
