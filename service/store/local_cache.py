"""Blob trees as local directories, for code that needs paths: each is fetched once per machine.

A cached tree is complete or absent, plain, and never changes. A tree that was deleted from the store, or whose key
was destroyed, is not handed out any more; `sweep` and `evict` remove what is left of it from this machine's disk.
"""

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from service.domain.errors import NotFound
from service.store.blobs import Blobs, legal_key
from service.store.durable import delete_stale_drafts, draft_path, flush_directory

# The trees' own names are no legal key segments, so a tree never lies inside another one.
_TREE = ".tree"

KeyOf: TypeAlias = Callable[[str], bytes | None]
"""The key of the tree under a prefix, None if it is stored as it is; raises Shredded if it was destroyed."""


class LocalCache:
    """The trees of one blob store below the directory `root`, which several processes may share."""

    def __init__(self, root: Path, blobs: Blobs, key_of: KeyOf) -> None:
        self._root = root
        self._blobs = blobs
        self._key_of = key_of

    def materialise(self, prefix: str) -> Path:
        """The local directory with the tree under `prefix`, fetched, verified and decrypted if it is not here yet.

        Raises:
            NotFound: the store has no such tree (any more).
            Shredded: its key was destroyed.
            Corrupted: a stored file does not match its manifest, or does not open.
        """
        key = self._key_of(prefix)
        if not self._blobs.exists_tree(prefix):
            self.evict(prefix)
            raise NotFound("There is no such tree.", code="no-such-tree")
        directory = self._root / prefix / _TREE
        if not directory.exists():
            self._fetch(prefix, directory, key)
        return directory

    def evict(self, prefix: str) -> None:
        """Delete every cached tree at or under `prefix`. No error if there is none."""
        with draft_path(self._root) as draft, suppress(FileNotFoundError):
            (self._root / legal_key(prefix)).rename(draft)

    def prefixes(self) -> Sequence[str]:
        """Where the trees that are here lie in the store."""
        return [path.parent.relative_to(self._root).as_posix() for path in self._root.glob(f"**/{_TREE}")]

    def sweep(self, *, older_than_s: float = 86_400) -> int:
        """Evict every tree that the store no longer has; returns how many.

        Also deletes what fetches that crashed more than `older_than_s` seconds ago left behind.
        """
        delete_stale_drafts(self._root, older_than_s=older_than_s)
        gone = [prefix for prefix in self.prefixes() if not self._blobs.exists_tree(prefix)]
        for prefix in gone:
            self.evict(prefix)
        return len(gone)

    def _fetch(self, prefix: str, directory: Path, key: bytes | None) -> None:
        with draft_path(self._root) as draft:
            self._blobs.get_tree(prefix, draft, key=key)
            directory.parent.mkdir(parents=True, exist_ok=True)
            try:
                draft.rename(directory)
            except OSError as error:
                # Another process was faster; its copy is as good as ours.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        flush_directory(directory.parent)
