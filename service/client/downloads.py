"""Downloads to disk, checked against the published digests, and what is too long to be held in memory."""

import codecs
import hashlib
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx

from service.client.answers.adapters import StoredFile, Version
from service.client.call import Call
from service.client.calls import operations, versions
from service.client.problems import unreachable
from service.client.sending import answered, send
from service.client.steps import Item, Items, Open, Pause, Read, Steps, Work
from service.domain.errors import Conflict, Corrupted, NotFound

ATTEMPTS = 4
PAUSE_S = 0.5

T = TypeVar("T")


def download_file(name: str, version: str, file: str, target: Path) -> Steps[Path]:
    """One file of a version, into `target`. Raises LetheError."""
    found = yield from send(versions.get_version(name, version))
    stored = files_of(found).get(file)
    if stored is None:
        raise NotFound("The version has no such file.", field="file", code="unknown-file")
    call = versions.download_file(name, found.version, file)
    return (yield from _download(call, target, lambda draft: sha256(draft) == stored.sha256))


def download_archive(name: str, version: str, target: Path, *, format: str | None = None) -> Steps[Path]:
    """A version as one archive (`tar.gz`, the default, `tar` or `zip`), into `target`. Raises LetheError."""
    found = yield from send(versions.get_version(name, version))
    digests = {file: stored.sha256 for file, stored in files_of(found).items()}
    call = versions.download_archive(name, found.version, format=format)
    return (yield from _download(call, target, lambda draft: _members(draft) == digests))


def export_audit_lines() -> Items[str]:
    """The whole audit chain, one row a line as JSON, and its signed head as the last line."""
    yield from answered(Open(operations.export_audit_lines()))
    decode, rest = codecs.getincrementaldecoder("utf-8")().decode, ""
    while (chunk := (yield Read())) is not None:
        *lines, rest = (rest + decode(chunk)).split("\n")
        for line in lines:
            yield Item(line)


def files_of(version: Version) -> Mapping[str, StoredFile]:
    """A version's files.

    Raises:
        Conflict: it has none yet.
        Corrupted: one has a name that leads out of a directory.
    """
    if version.files is None:
        raise Conflict(
            f"{version.adapter}@{version.version} is {version.state}.",
            fix="Wait until it is ready.",
            code="version-not-ready",
        )
    if any(Path(file).name != file for file in version.files):
        raise Corrupted("The service names a file that lies outside of the version.", code="unexpected-file")
    return version.files


def patiently(attempt: Callable[[], Steps[T]]) -> Steps[T]:
    """Begin anew when a connection breaks in the middle of a response. Raises Unreachable if it goes on breaking."""
    for number in range(1, ATTEMPTS + 1):
        try:
            return (yield from attempt())
        except httpx.TransportError as error:
            if number == ATTEMPTS:
                raise unreachable(error) from error
        yield Pause(PAUSE_S * number)
    raise AssertionError("the last attempt returns or raises")


def save(target: Path, mode: str) -> Steps[int]:
    """Write the rest of the open response to a file; returns the number of bytes."""
    received = 0
    with target.open(mode) as output:
        while (chunk := (yield Read())) is not None:
            received += output.write(chunk)
    return received


def damaged(what: str) -> Corrupted:
    return Corrupted(
        f"{what} does not have the published digest.",
        fix="Download it again. If it happens twice, the stored file is corrupted.",
        code="digest-mismatch",
    )


def sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _download(call: Call[Any], target: Path, is_whole: Callable[[Path], bool]) -> Steps[Path]:
    """What is at `target` is replaced when the new bytes are there and checked."""
    draft = target.with_name(f".{target.name}.partial")

    def attempt() -> Steps[None]:
        yield from answered(Open(call))
        yield from save(draft, "wb")

    try:
        yield from patiently(attempt)
        if not (yield Work(partial(is_whole, draft))):
            raise damaged(target.name)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def _members(archive: Path) -> dict[str, str]:
    """The digests of an archive's members; empty for what is no archive."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                return {name: _digest(zipped.open(name)) for name in zipped.namelist()}
        with tarfile.open(archive) as tar:
            return {member.name: _digest(tar.extractfile(member)) for member in tar if member.isfile()}
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError):
        return {}


def _digest(content: Any) -> str:
    with content:
        return hashlib.file_digest(content, "sha256").hexdigest()
