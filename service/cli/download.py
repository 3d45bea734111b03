"""Fetch a version's files into a directory.

The directory holds one version's files or another's, never a mixture: they are gathered beside it and
moved into place together. An interrupted download goes on where it stopped, as long as the service still has
the same bytes. A file that is there already costs one conditional request.
"""

import hashlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.cli.client import LetheClient
from service.cli.models import StoredFile, Version
from service.cli.problems import Problem

CHUNK_BYTES = 1 << 20
PARTIAL_CONTENT, NOT_MODIFIED = 206, 304
ATTEMPTS = 4
PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is in the directory now, and how many bytes had to come over the network for it."""

    adapter: str
    version: str
    digest: str | None
    directory: Path
    bytes_received: int


def fetch(client: LetheClient, adapter: str, version: str, directory: Path) -> Fetched:
    """Bring `adapter@version` (`v3` or an alias) into `directory`.

    Raises:
        Problem: the version is unknown, not ready or withdrawn, or the bytes do not match their digest.
    """
    found = client.version(adapter, version)
    if found.files is None:
        raise Problem(
            title="There is nothing to download",
            detail=f"{adapter}@{found.version} is {found.state}.",
            code="version-not-ready",
            fix="Wait until it is ready.",
        )
    # The name tells whose bytes these are, so that only the same version's download is gone on with.
    staging = directory.parent / f".{directory.name}.{found.version}.partial"
    staging.mkdir(parents=True, exist_ok=True)
    received = 0
    for name, file in found.files.items():
        received += _gather_with_patience(client, found, name, file, directory / name, staging / name)
    _move_into_place(staging, directory)
    return Fetched(adapter, found.version, found.digest, directory, received)


def _gather_with_patience(
    client: LetheClient, version: Version, name: str, file: StoredFile, present: Path, target: Path
) -> int:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _gather(client, version, name, file, present, target)
        except httpx.TransportError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(PAUSE_S * attempt)
    raise AssertionError("the last attempt returns or raises")


def _gather(client: LetheClient, version: Version, name: str, file: StoredFile, present: Path, target: Path) -> int:
    """Put one file into `target`; returns the bytes received for it."""
    held = next((one for one in (target, present) if one.is_file() and _sha256(one) == file.sha256), None)
    path = f"/v1/adapters/{version.adapter}/versions/{version.version}/files/{name}"
    with client.transport.download(path, _conditions(file, held, target)) as response:
        if response.status_code == NOT_MODIFIED and held is not None:
            if held != target:
                shutil.copyfile(held, target)
            return 0
        received = 0
        with target.open("ab" if response.status_code == PARTIAL_CONTENT else "wb") as output:
            for chunk in response.iter_raw(CHUNK_BYTES):
                received += output.write(chunk)
    if _sha256(target) != file.sha256:
        target.unlink()
        raise Problem(
            title="The download is damaged",
            detail=f"{name} of {version.adapter}@{version.version} does not have the published digest.",
            code="digest-mismatch",
            fix="Fetch again. If it happens twice, the stored file is corrupted.",
        )
    return received


def _conditions(file: StoredFile, held: Path | None, target: Path) -> dict[str, str]:
    """Headers that make the service send only what is missing. Its entity tag of a file is the file's digest."""
    tag, plain = f'"sha256:{file.sha256}"', {"Accept-Encoding": "identity"}
    if held is not None:
        return plain | {"If-None-Match": tag}
    size = target.stat().st_size if target.is_file() else 0
    return plain | ({"Range": f"bytes={size}-", "If-Range": tag} if 0 < size < file.size else {})


def _move_into_place(staging: Path, directory: Path) -> None:
    """A reader sees the old files, the new ones, or for an instant none."""
    old = directory.parent / f".{directory.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if directory.exists():
        directory.rename(old)
    staging.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
