"""The local copies: directories named by their content, and one record a version saying what may be done with it.

    content/<digest>/       the two files of an adapter; there whole or not at all, never changed
    content/<digest>.lock   held (shared) by every server that has the directory registered
    versions/<name>.json    which content a version has and when Lethe last confirmed it, or that it is withdrawn
    drafts/                 what is on its way in, or out

vLLM reads an adapter's files again whenever it has evicted it, and ends when they are gone. So a directory is
removed only if no server on this file system has it registered.
"""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from .fitness import FILES
from .lethe import File, Version

WITHDRAWN = frozenset({"withdrawn", "quarantined"})
# Longer than any download takes.
_STALE_S = 3 * 3600


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a version. `confirmed_at`: when Lethe last said it is ready (Unix time).

    `base`: the base model, as vLLM calls it, for which it was found fit.
    """

    version: Version
    base: str
    confirmed_at: float

    @property
    def withdrawn(self) -> bool:
        return self.version.state in WITHDRAWN


class Shelf:
    """The copies below a directory, which several servers may share."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.content, self._versions, self._drafts = root / "content", root / "versions", root / "drafts"

    def record(self, version_id: str) -> Record | None:
        """What is known of a version; None if it was never here. A record that is damaged counts as withdrawn."""
        try:
            text = (self._versions / f"{version_id}.json").read_text()
        except FileNotFoundError:
            return None
        with suppress(ValueError, KeyError, TypeError):
            members = json.loads(text)
            files = {name: File(**file) for name, file in members["files"].items()}
            version = Version(version_id, members["state"], members["digest"], files)
            return Record(version, members["base"], members["confirmed_at"])
        return Record(Version(version_id, "withdrawn", "", {}), "", 0.0)

    def records(self) -> Iterator[Record]:
        for path in sorted(self._versions.glob("*.json")):
            record = self.record(path.name.removesuffix(".json"))
            if record is not None:
                yield record

    def confirm(self, record: Record) -> None:
        """Start a version's lease anew, unless it was withdrawn: tombstones stay, whatever Lethe says later."""
        with self._alone():
            known = self.record(record.version.id)
            if known is None or not known.withdrawn:
                self._write(record)

    def withdraw(self, version_id: str) -> None:
        """Put up the tombstone of a version that was here."""
        with self._alone():
            known = self.record(version_id)
            if known is not None and not known.withdrawn:
                self._write(replace(known, version=replace(known.version, state="withdrawn")))

    def directory(self, version: Version) -> Path:
        """Where a version's files are, or would be."""
        return self.content / version.digest.removeprefix("sha256:")

    def has(self, version: Version) -> bool:
        """Whether the files are here and still have their digests."""
        directory = self.directory(version)
        return all(
            (directory / name).is_file() and _sha256(directory / name) == version.files[name].sha256 for name in FILES
        )

    def place(self, draft: Path, version: Version) -> None:
        """Move a complete directory to where it belongs, in the place of a damaged one, if need be."""
        for path in draft.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        _flush(draft)
        target = self.directory(version)
        target.parent.mkdir(exist_ok=True)
        if target.is_dir() and not self.has(version):
            with self.draft() as damaged:
                target.rename(damaged)
        try:
            draft.rename(target)
        except OSError as error:
            # Another server was faster; its copy is as good as ours.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        _flush(target.parent)

    def hold(self, version: Version) -> BinaryIO:
        """Keep a directory from being removed by anyone until what is returned is closed."""
        return self._locked(version, fcntl.LOCK_SH)

    def remove(self, version: Version) -> bool:
        """Delete a version's files, unless a server holds them or another version has the same."""
        directory = self.directory(version)
        if not version.digest or not directory.is_dir():
            return False
        if any(not other.withdrawn and other.version.digest == version.digest for other in self.records()):
            return False
        try:
            lock = self._locked(version, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        with lock, self.draft() as draft:
            directory.rename(draft)
        return True

    def delete_stale_drafts(self) -> None:
        """Delete what servers that died left half done."""
        for path in self._drafts.glob("*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_S:
                    _delete(path)

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A fresh path on the same file system. What is still there in the end is deleted."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._drafts.mkdir(exist_ok=True)
        draft = self._drafts / secrets.token_hex(16)
        try:
            yield draft
        finally:
            _delete(draft)

    def _write(self, record: Record) -> None:
        """So that it survives a loss of power."""
        members = {
            "state": record.version.state,
            "digest": record.version.digest,
            "files": {name: {"sha256": f.sha256, "size": f.size} for name, f in record.version.files.items()},
            "base": record.base,
            "confirmed_at": record.confirmed_at,
        }
        with self.draft() as draft:
            with draft.open("xb") as file:
                file.write(json.dumps(members).encode())
                file.flush()
                os.fsync(file.fileno())
            self._versions.mkdir(exist_ok=True)
            draft.replace(self._versions / f"{record.version.id}.json")
        _flush(self._versions)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else on this file system changes a record meanwhile."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._root / "records.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _locked(self, version: Version, kind: int) -> BinaryIO:
        self.content.mkdir(parents=True, exist_ok=True)
        file = self.directory(version).with_suffix(".lock").open("ab")
        try:
            fcntl.flock(file, kind)
        except BaseException:
            file.close()
            raise
        return file


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
