"""Blob trees on this machine's disk, so that an anchor is fetched once and not once a run."""

import shutil
from pathlib import Path
from uuid import uuid4

from service.store.blobs import Blobs


class BlobCache:
    """A directory of fetched trees, named by their prefixes. One worker owns it."""

    def __init__(self, blobs: Blobs, root: Path) -> None:
        self._blobs, self._root = blobs, root

    def directory(self, prefix: str) -> Path:
        """The tree under `prefix`, fetched and verified if it is not here yet."""
        place = self._place(prefix)
        if not place.exists():
            self._root.mkdir(parents=True, exist_ok=True)
            arriving = self._root / f".{uuid4().hex}"
            self._blobs.get_tree(prefix, arriving)
            arriving.rename(place)
        return place

    def evict_unused(self, in_use: set[str]) -> None:
        """Delete every tree whose prefix nothing refers to any more: it may hold what was erased."""
        kept = {self._place(prefix) for prefix in in_use}
        for place in self._root.glob("*"):
            if place not in kept:
                shutil.rmtree(place, ignore_errors=True)

    def _place(self, prefix: str) -> Path:
        return self._root / prefix.replace("/", "~")
