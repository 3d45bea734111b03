"""`.tar` (POSIX pax), and the same in gzip."""

import tarfile
from collections.abc import Iterable, Iterator

from service.store.archives.stored import Checked, stored, stored_size
from service.store.archives.write import Archive, Member

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no flags, no time, unknown system (RFC 1952)
_GZIP_TRAILER_BYTES = 8
_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)


class Tar(Archive):
    def __init__(self, members: Iterable[Member]) -> None:
        super().__init__(members)
        self.size = sum(len(_header(m)) + m.size + _padding(m.size) for m in self._members) + len(_END_OF_TAR)

    def _whole(self) -> Iterator[bytes]:
        for member in self._members:
            yield _header(member)
            yield from member.chunks()
            yield bytes(_padding(member.size))
        yield _END_OF_TAR


class TarGz(Archive):
    def __init__(self, members: Iterable[Member]) -> None:
        super().__init__(members)
        self._tar = Tar(self._members)
        self.size = len(_GZIP_HEADER) + stored_size(self._tar.size) + _GZIP_TRAILER_BYTES

    def _whole(self) -> Iterator[bytes]:
        content = Checked(self._tar.chunks())
        yield _GZIP_HEADER
        yield from stored(content, self._tar.size)
        yield content.crc.to_bytes(4, "little") + (self._tar.size & 0xFFFFFFFF).to_bytes(4, "little")


def _header(member: Member) -> bytes:
    """The tar header of a file: mode 0644, owner 0, time 0. PAX adds records only beyond 8 GiB."""
    info = tarfile.TarInfo(member.name)
    info.size = member.size
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE
