"""Archives of stored trees, in the formats that there are."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import BinaryIO

from service.store.archives.write import Archive, Member
from service.store.archives.write_tar import Tar, TarGz
from service.store.archives.write_zip import Zip
from service.store.blobs import Blobs
from service.store.digests import Manifest


class ArchiveFormat(StrEnum):
    tar_gz = "tar.gz"
    tar = "tar"
    zip = "zip"


_KINDS: dict[ArchiveFormat, Callable[[Iterable[Member]], Archive]] = {
    ArchiveFormat.tar_gz: TarGz,
    ArchiveFormat.tar: Tar,
    ArchiveFormat.zip: Zip,
}


def archive_of_tree(blobs: Blobs, prefix: str, manifest: Manifest, kind: ArchiveFormat) -> Archive:
    """Raises InvalidInput: the format cannot hold so much."""

    def opener(name: str) -> Callable[[], BinaryIO]:
        return lambda: blobs.open(f"{prefix}/{name}")

    return _KINDS[kind](Member(name, digest["size"], opener(name)) for name, digest in manifest.items())
