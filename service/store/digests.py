"""SHA-256 digests of files, and manifests of trees of files."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeAlias, TypedDict

CHUNK_BYTES = 1 << 20


class Digest(TypedDict):
    """What identifies a file's content: SHA-256 in hex, size in bytes. It is JSON as it stands."""

    sha256: str
    size: int


Manifest = dict[str, Digest]
"""The files of a tree, by their path below its root."""


Copy: TypeAlias = Callable[[BinaryIO, BinaryIO], Digest]
"""Copies the rest of one open file to another, in whatever form, and returns the digest of the stored one."""


class Counted:
    """An open file, and the digest of all that is read from it or written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha, self._size = hashlib.sha256(), 0

    def read(self, size: int, /) -> bytes:
        return self._count(self._file.read(size))

    def write(self, data: bytes, /) -> int:
        return self._file.write(self._count(data))

    @property
    def digest(self) -> Digest:
        return Digest(sha256=self._sha.hexdigest(), size=self._size)

    def _count(self, data: bytes) -> bytes:
        self._sha.update(data)
        self._size += len(data)
        return data


def copy_with_digest(source: BinaryIO, target: BinaryIO) -> Digest:
    """Copy the rest of one open file to another and return the digest of what went through."""
    counted = Counted(source)
    while chunk := counted.read(CHUNK_BYTES):
        target.write(chunk)
    return counted.digest


def digest_of_file(path: Path) -> Digest:
    """The digest of a local file."""
    with path.open("rb") as file:
        return Digest(sha256=hashlib.file_digest(file, "sha256").hexdigest(), size=path.stat().st_size)


def files_below(directory: Path) -> list[tuple[str, Path]]:
    """The regular files below a directory with their relative POSIX paths, in order of path.

    Raises:
        ValueError: there is a symbolic link or a special file.
    """
    found = []
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise ValueError(f"neither a file nor a directory: {path}")
        if path.is_file():
            found.append((path.relative_to(directory).as_posix(), path))
    return found
