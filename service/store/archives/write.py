"""Archives of versions for download: `.tar.gz` whose bytes are a function of the files alone.

Members are sorted, flat, and carry no time, owner or host. The gzip layer only stores (deflate blocks
of type 00, RFC 1951, section 3.2.4): weights do not compress, a compressor's output would differ
between zlib builds, and this way the length is known before the first byte is read. So an archive can
have a strong ETag, a Content-Length and byte ranges without ever being written to a disk.
"""

import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from service.domain.errors import Corrupted
from service.store.blobs import Blobs
from service.store.digests import CHUNK_BYTES, Manifest

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no flags, no time, unknown system (RFC 1952)
_GZIP_TRAILER_BYTES = 8
_BLOCK_BYTES = 0xFFFF
_BLOCK_HEADER_BYTES = 5
_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive; `open` is called when its turn comes and the result is closed."""

    name: str
    size: int
    open: Callable[[], BinaryIO]


class TarGz:
    """A deterministic `.tar.gz` of some files. `size` is its length in bytes."""

    def __init__(self, members: Iterable[Member]) -> None:
        self._members = sorted(members, key=lambda member: member.name)
        tar_size = sum(len(_header(m)) + m.size + _padding(m.size) for m in self._members) + len(_END_OF_TAR)
        self._blocks = -(-tar_size // _BLOCK_BYTES)
        self.size = len(_GZIP_HEADER) + self._blocks * _BLOCK_HEADER_BYTES + tar_size + _GZIP_TRAILER_BYTES

    def chunks(self, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes `start` to `stop` (exclusive; None: the end). What precedes `start` is read as well.

        Raises:
            Corrupted: a file is not as long as was said.
        """
        position, stop = 0, self.size if stop is None else min(stop, self.size)
        for chunk in self._gzip():
            wanted = chunk[max(start - position, 0) : max(stop - position, 0)]
            position += len(chunk)
            if wanted:
                yield wanted
            if position >= stop:
                return

    def _gzip(self) -> Iterator[bytes]:
        checksum, length = 0, 0
        yield _GZIP_HEADER
        for number, block in enumerate(_regrouped(self._tar(), _BLOCK_BYTES), start=1):
            checksum = zlib.crc32(block, checksum)
            length += len(block)
            is_last = number == self._blocks
            size = len(block).to_bytes(2, "little")
            yield bytes([is_last]) + size + bytes(byte ^ 0xFF for byte in size) + block
        yield checksum.to_bytes(4, "little") + (length & 0xFFFFFFFF).to_bytes(4, "little")

    def _tar(self) -> Iterator[bytes]:
        for member in self._members:
            yield _header(member)
            left = member.size
            with member.open() as file:
                while chunk := file.read(CHUNK_BYTES):
                    left -= len(chunk)
                    yield chunk
            if left:
                raise Corrupted("A stored file does not have the size its manifest says.")
            yield bytes(_padding(member.size))
        yield _END_OF_TAR


def archive_of_tree(blobs: Blobs, prefix: str, manifest: Manifest) -> TarGz:
    """The archive of a stored tree."""

    def opener(name: str) -> Callable[[], BinaryIO]:
        return lambda: blobs.open(f"{prefix}/{name}")

    return TarGz(Member(name, digest["size"], opener(name)) for name, digest in manifest.items())


def _header(member: Member) -> bytes:
    """The tar header of a file: mode 0644, owner 0, time 0. PAX adds records only beyond 8 GiB."""
    info = tarfile.TarInfo(member.name)
    info.size = member.size
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE


def _regrouped(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of `size`, the last one shorter."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        whole = len(buffer) - len(buffer) % size
        for start in range(0, whole, size):
            yield bytes(buffer[start : start + size])
        del buffer[:whole]
    if buffer:
        yield bytes(buffer)
