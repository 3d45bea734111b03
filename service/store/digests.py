"""SHA-256 digests of files, and manifests of trees of files."""

import hashlib
from pathlib import Path
from typing import BinaryIO, TypedDict

CHUNK_BYTES = 1 << 20


class Digest(TypedDict):
    """What identifies a file's content: SHA-256 in hex, size in bytes. It is JSON as it stands."""

    sha256: str
    size: int


Manifest = dict[str, Digest]
"""The files of a tree, by their path below its root."""


def copy_with_digest(source: BinaryIO, target: BinaryIO) -> Digest:
    """Copy the rest of one open file to another and return the digest of what went through."""
    sha, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        sha.update(chunk)
        size += target.write(chunk)
    return Digest(sha256=sha.hexdigest(), size=size)


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
