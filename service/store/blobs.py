"""Files of versions, anchors and uploads: any directory or bucket that fsspec can reach.

A blob appears whole or not at all. A *tree* is a set of blobs under one prefix with a manifest that
is written last and deleted first, so a tree exists exactly as long as its manifest does; a crash in
between leaves files that nothing refers to. Blobs and trees are never changed once written.

On a bucket, keep object versioning off: a deleted blob must be gone.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from service.domain.errors import Conflict, Corrupted, NotFound
from service.failpoints import reach
from service.store.digests import CHUNK_BYTES, Copy, Digest, Manifest, copy_with_digest, digest_of_file, files_below
from service.store.durable import copy_into_place, delete_stale_drafts, flush_to_disk
from service.store.sealed_copies import sealing, unsealing

_MANIFEST = ".manifest.json"
# Segments never start with a dot: such names are ours (manifest, drafts), and `..` is among them.
_KEY = re.compile(r"[A-Za-z0-9_@+=-][A-Za-z0-9._@+=-]*(/[A-Za-z0-9_@+=-][A-Za-z0-9._@+=-]*)*")


def legal_key(key: str) -> str:
    """`key` itself: slash-separated segments of letters, digits and `_ @ + = - .`, none starting with a dot.

    Raises:
        ValueError: it is no legal key or prefix.
    """
    if not _KEY.fullmatch(key):
        raise ValueError("not a legal blob key")
    return key


class Blobs:
    """A blob store below one URL: `file:///…`, `s3://bucket/prefix`, or any other that fsspec knows.

    Credentials and endpoints come from the environment, as the URL's library reads them.
    """

    def __init__(self, url: str) -> None:
        # Other processes write, so listings must never come from a cache.
        self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False, **_s3_options(url))
        self._is_local = isinstance(self._fs, LocalFileSystem)

    def put_file(self, source: Path, key: str) -> Digest:
        """Store a copy of a local file under `key`; it is visible once it is complete and on disk."""
        return self._put(source, self._path(key), copy_with_digest)

    def put_tree(self, source: Path, prefix: str, *, key: bytes | None = None) -> Manifest:
        """Store all files below a local directory under `prefix`, encrypted if a key is given; returns their manifest.

        Raises:
            Conflict: there is a tree at `prefix` already.
            ValueError: a link, a special file, or a name that is no legal key.
        """
        if self.exists_tree(prefix):
            raise Conflict("The tree exists already.", code="tree-exists")
        files = [(name, path, self._path(f"{prefix}/{name}")) for name, path in files_below(source)]
        manifest = {
            name: self._put(path, place, copy_with_digest if key is None else sealing(key, name))
            for name, path, place in files
        }
        reach("store.copied")
        with tempfile.TemporaryDirectory() as directory:
            draft = Path(directory) / _MANIFEST
            draft.write_text(json.dumps(manifest, sort_keys=True), encoding="utf-8")
            self._put(draft, self._manifest_path(prefix), copy_with_digest)
        return manifest

    def get_tree(self, prefix: str, target: Path, *, key: bytes | None = None) -> Manifest:
        """Copy a tree into the local directory `target`, which is created, and flush it to disk.

        Args:
            key: that with which the tree was stored; what is copied is plain.

        Raises:
            NotFound: there is no such tree.
            Corrupted: a file is missing, does not match the manifest, or does not open with this key.
        """
        manifest = self.manifest(prefix)
        target.mkdir(parents=True)
        for name, expected in manifest.items():
            place, copy = f"{prefix}/{name}", copy_with_digest if key is None else unsealing(key, name)
            if not self.exists(place) or self._get(place, target / name, copy) != expected:
                raise Corrupted("A stored file does not match its manifest.", extra={"file": name})
        return manifest

    def manifest(self, prefix: str) -> Manifest:
        """The manifest of a tree.

        Raises:
            NotFound: there is no such tree.
        """
        try:
            return cast(Manifest, json.loads(self._fs.cat_file(self._manifest_path(prefix))))
        except FileNotFoundError:
            raise NotFound("There is no such tree.", code="no-such-tree") from None

    def delete_tree(self, prefix: str) -> None:
        """Delete everything under `prefix`, its manifest first. No error if there is nothing."""
        for path in (self._manifest_path(prefix), self._path(prefix)):
            if self._fs.exists(path):
                self._fs.rm(path, recursive=True)

    def exists_tree(self, prefix: str) -> bool:
        return bool(self._fs.isfile(self._manifest_path(prefix)))

    def exists(self, key: str) -> bool:
        return bool(self._fs.isfile(self._path(key)))

    def names(self, prefix: str) -> set[str]:
        """The names of what lies directly below a prefix; nothing if there is no such prefix."""
        try:
            return {path.rstrip("/").rpartition("/")[2] for path in self._fs.ls(self._path(prefix), detail=False)}
        except FileNotFoundError:
            return set()

    def size(self, key: str) -> int:
        """Size of a blob in bytes.

        Raises:
            NotFound: there is no such blob.
        """
        try:
            return int(self._fs.size(self._path(key)))
        except FileNotFoundError:
            raise NotFound("There is no such blob.", code="no-such-blob") from None

    def delete(self, key: str) -> None:
        """Delete one blob. No error if there is none."""
        if self.exists(key):
            self._fs.rm_file(self._path(key))

    def open(self, key: str) -> BinaryIO:
        """A blob as a seekable binary file, to be closed by the caller.

        Raises:
            NotFound: there is no such blob.
        """
        try:
            return cast(BinaryIO, self._fs.open(self._path(key), "rb"))
        except FileNotFoundError:
            raise NotFound("There is no such blob.", code="no-such-blob") from None

    def chunks(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes `start` to `stop` (exclusive; None: the end) of a blob, a megabyte at a time.

        Raises:
            NotFound: there is no such blob (on the first step).
        """
        with self.open(key) as file:
            file.seek(start)
            left = self.size(key) - start if stop is None else stop - start
            while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk

    def address(self, key: str) -> str:
        """Where a blob or tree lies, as a URL of the store's own kind, such as `s3://bucket/prefix/key`."""
        return str(self._fs.unstrip_protocol(self._path(key)))

    def signed_url(self, key: str, *, lives_s: int) -> str:
        """A URL under which anybody can read a blob for `lives_s` seconds. It cannot be revoked.

        Raises:
            Conflict: the store makes no such URLs.
        """
        try:
            return str(self._fs.sign(self._path(key), expiration=lives_s))
        except NotImplementedError:
            raise Conflict(
                "The blob store makes no presigned URLs.",
                fix="Download through the service, or keep blobs on S3.",
                code="store-cannot-sign",
            ) from None

    def sweep(self, *, older_than_s: float = 86_400) -> int:
        """Delete what crashed writers left behind, once it is older than any write may take; returns how many."""
        return delete_stale_drafts(Path(self._root), older_than_s=older_than_s) if self._is_local else 0

    def _path(self, key: str) -> str:
        return f"{self._root}/{legal_key(key)}"

    def _manifest_path(self, prefix: str) -> str:
        return f"{self._path(prefix)}/{_MANIFEST}"

    def _put(self, source: Path, path: str, copy: Copy) -> Digest:
        if self._is_local:
            return copy_into_place(source, Path(path), root=Path(self._root), copy=copy)
        if copy is copy_with_digest:
            # What is stored as it is can be sent from where it is.
            return self._upload(source, path, digest_of_file(source))
        with tempfile.TemporaryDirectory() as directory:
            draft = Path(directory) / "draft"
            with source.open("rb") as reader, draft.open("xb") as writer:
                digest = copy(reader, writer)
            return self._upload(draft, path, digest)

    def _upload(self, source: Path, path: str, digest: Digest) -> Digest:
        # A bucket shows an object when its upload is complete. fsspec's own writers would complete it on errors too.
        self._fs.put_file(str(source), path)
        if self._fs.size(path) != digest["size"]:
            raise Corrupted("A stored blob has another size than its source.")
        return digest

    def _get(self, key: str, target: Path, copy: Copy) -> Digest:
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.open(key) as reader, target.open("xb") as writer:
            digest = copy(reader, writer)
            flush_to_disk(writer)
        return digest


def _s3_options(url: str) -> dict[str, Any]:
    """Presigned URLs are signed by the scheme that S3 takes for every bucket, not by the older one it replaces."""
    if not url.startswith("s3://"):
        return {}
    configured = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
    return {"config_kwargs": {"signature_version": "s3v4", **configured}}
