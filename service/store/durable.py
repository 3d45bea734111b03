"""Files that appear whole or not at all, and survive a loss of power once they have appeared."""

import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from service.failpoints import reach
from service.store.digests import Copy, Digest

_DRAFTS = ".drafts"


def flush_to_disk(file: BinaryIO) -> None:
    """Return once the file's content is on disk."""
    file.flush()
    os.fsync(file.fileno())


def flush_directory(directory: Path) -> None:
    """Return once the directory's entries are on disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_into_place(source: Path, target: Path, *, root: Path, copy: Copy) -> Digest:
    """Copy `source` to `target` below `root`, by way of a draft and a rename.

    `root` must be one file system. A crash leaves at most a draft.
    """
    with draft_path(root) as draft:
        with source.open("rb") as reader, draft.open("xb") as writer:
            digest = copy(reader, writer)
            flush_to_disk(writer)
        reach("store.drafted")
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(target)
    for directory in (target.parent, *target.parent.parents):
        flush_directory(directory)
        if directory == root:
            break
    return digest


@contextmanager
def draft_path(root: Path) -> Iterator[Path]:
    """A fresh path in `root`/.drafts for a file or directory that will be renamed into place below `root`.

    What is still there in the end is deleted.
    """
    draft = root / _DRAFTS / secrets.token_hex(16)
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
    finally:
        _delete(draft)


def delete_stale_drafts(root: Path, *, older_than_s: float) -> int:
    """Delete what crashed writers left in `root`/.drafts; returns how many drafts that were."""
    stale = [path for path in (root / _DRAFTS).glob("*") if time.time() - _changed_at(path) > older_than_s]
    for path in stale:
        _delete(path)
    return len(stale)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
