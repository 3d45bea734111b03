"""Bring a version's files into a directory.

The directory holds one version's files or another's, never a mixture: they are gathered beside it and
moved into place together. An interrupted download goes on where it stopped, as long as the service still has
the same bytes. A file that is there already costs one conditional request.
"""

import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from service.client.answers.adapters import StoredFile, Version
from service.client.calls.versions import PLAIN, download_file, get_version
from service.client.downloads import damaged, files_of, patiently, save, sha256
from service.client.sending import answered, send
from service.client.steps import Open, Steps, Work

PARTIAL_CONTENT, NOT_MODIFIED = 206, 304


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is in the directory now, and how many bytes had to come over the network for it."""

    adapter: str
    version: str
    digest: str | None
    directory: Path
    bytes_received: int


def fetch(name: str, version: str, directory: Path) -> Steps[Fetched]:
    """Bring `name@version` (`v3` or an alias) into `directory`, in PEFT layout, checked against the digests.

    Raises:
        LetheError: the version is unknown, not ready or withdrawn, or the bytes do not match their digest.
    """
    found = yield from send(get_version(name, version))
    # The name tells whose bytes these are, so that only the same version's download is gone on with.
    staging = directory.parent / f".{directory.name}.{found.version}.partial"
    files = files_of(found)
    staging.mkdir(parents=True, exist_ok=True)
    received = 0
    for file, stored in files.items():
        place = _Place(found, file, stored, directory / file, staging / file)
        received += yield from patiently(partial(_gather, place))
    yield Work(partial(_move_into_place, staging, directory))
    return Fetched(name, found.version, found.digest, directory, received)


@dataclass(frozen=True, slots=True)
class _Place:
    """A file of a version, where it may be already, and where it is gathered."""

    version: Version
    name: str
    file: StoredFile
    present: Path
    target: Path

    def held(self) -> Path | None:
        """Where the whole file is already."""
        held = (file for file in (self.target, self.present) if file.is_file() and sha256(file) == self.file.sha256)
        return next(held, None)

    def conditions(self, held: Path | None) -> dict[str, str]:
        """Headers that make the service send only what is missing. Its entity tag of a file is the file's digest."""
        tag = f'"sha256:{self.file.sha256}"'
        if held is not None:
            return {"If-None-Match": tag}
        size = self.target.stat().st_size if self.target.is_file() else 0
        return {"Range": f"bytes={size}-", "If-Range": tag} if 0 < size < self.file.size else {}


def _gather(place: _Place) -> Steps[int]:
    """Put one file into its place; returns the bytes received for it."""
    held: Path | None = yield Work(place.held)
    call = download_file(place.version.adapter, place.version.version, place.name)
    response = yield from answered(Open(replace(call, headers={**PLAIN, **place.conditions(held)})))
    if response.status_code == NOT_MODIFIED and held is not None:
        if held != place.target:
            yield Work(partial(shutil.copyfile, held, place.target))
        return 0
    received = yield from save(place.target, "ab" if response.status_code == PARTIAL_CONTENT else "wb")
    if (yield Work(partial(sha256, place.target))) != place.file.sha256:
        place.target.unlink()
        raise damaged(f"{place.name} of {place.version.adapter}@{place.version.version}")
    return received


def _move_into_place(staging: Path, directory: Path) -> None:
    """A reader sees the old files, the new ones, or for an instant none."""
    old = directory.parent / f".{directory.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if directory.exists():
        directory.rename(old)
    staging.rename(directory)
    shutil.rmtree(old, ignore_errors=True)
