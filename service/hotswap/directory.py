"""The directory that inference servers mount: each version's files below its digest, and zeros of the same shape.

    <digest>/          the files of a version; there whole or not at all, never changed
    <digest>.blank/    the same configuration, and weights of the same names and shapes that are all zero

Loaded over an old version, the zeros leave nothing of it in a server's memory.
"""

import errno
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.domain.errors import Corrupted
from service.hotswap.swap import BLANK
from service.store.blobs import Blobs
from service.store.durable import delete_stale_drafts, draft_path, flush_directory, flush_to_disk

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_STALE_S = 86_400.0


class Directory:
    """The directory at `root`, which several control processes may share."""

    def __init__(self, root: Path, blobs: Blobs) -> None:
        self._root, self._blobs = root, blobs

    def place(self, digest: str, prefix: str, files: Mapping[str, Any]) -> None:
        """See to it that a version's files and its zeros are here.

        Args:
            prefix: where the blob store has the files.
            files: their digests, as the version states them.

        Raises:
            NotFound: the blob store has them no more.
            Corrupted: they are others than the version states.
        """
        target = self._root / digest
        if not target.exists():
            with draft_path(self._root) as draft:
                if self._blobs.get_tree(prefix, draft) != files:
                    raise Corrupted("A version's files are not those that were published.", code="wrong-files")
                _move(draft, target)
        place_blank(target)

    def digests(self) -> set[str]:
        """Of the versions that have something here."""
        names = {path.name.removesuffix(BLANK) for path in self._root.glob("*")}
        return {name for name in names if _DIGEST.fullmatch(name)}

    def hide(self, digest: str) -> None:
        """Take a version's directories away at once. What is left of them is deleted by `sweep`."""
        for path in (self._root / f"{digest}{BLANK}", self._root / digest):
            if path.exists():
                path.rename(self._root / f".gone-{secrets.token_hex(16)}")

    def sweep(self) -> None:
        """Delete what was hidden, and what writers that died left behind."""
        for path in self._root.glob(".gone-*"):
            shutil.rmtree(path, ignore_errors=True)
        delete_stale_drafts(self._root, older_than_s=_STALE_S)


def place_blank(version: Path) -> None:
    """See to it that beside a version's directory there are its zeros."""
    blank = version.with_name(f"{version.name}{BLANK}")
    if not blank.exists():
        with draft_path(version.parent) as draft:
            _write_blank(version, draft)
            _move(draft, blank)


def _write_blank(source: Path, draft: Path) -> None:
    """The weights are a header and a hole, so they take no room."""
    draft.mkdir()
    shutil.copyfile(source / CONFIG, draft / CONFIG)
    with (source / WEIGHTS).open("rb") as weights, (draft / WEIGHTS).open("xb") as zeros:
        length = weights.read(8)
        zeros.write(length + weights.read(int.from_bytes(length, "little")))
        zeros.truncate((source / WEIGHTS).stat().st_size)
        flush_to_disk(zeros)


def _move(draft: Path, target: Path) -> None:
    try:
        draft.rename(target)
    except OSError as error:
        # Another process was faster; its copy is as good as ours.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    flush_directory(target.parent)
