"""`.zip`, in the layout that can be both written and read in one go (PKWARE's APPNOTE, sections 4.3 and 4.4).

Checksums follow the content, in data descriptors. Readers of streams accept those of deflated members only, so the
content is deflated, by a deflate that stores.
"""

import struct
from collections.abc import Iterable, Iterator

from service.domain.errors import InvalidInput
from service.store.archives.stored import Checked, stored, stored_size
from service.store.archives.write import Archive, Member

_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTOR = struct.Struct("<4s3L")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_NEEDED, _ON_UNIX = 20, 3 << 8  # version 2.0
_SIZES_FOLLOW, _DEFLATED = 1 << 3, 8
_MIDNIGHT, _DAY = 0, 1 << 5 | 1  # 1 January 1980, the earliest there is
_COMMON = (_NEEDED, _SIZES_FOLLOW, _DEFLATED, _MIDNIGHT, _DAY)
_MODE = 0o100644 << 16
_LIMIT = 2**32 - 1


class Zip(Archive):
    """Raises InvalidInput from 4 GiB on, where the format goes on in a way that not every reader knows."""

    def __init__(self, members: Iterable[Member]) -> None:
        super().__init__(members)
        entries = sum(_entry_size(m) + _CENTRAL.size + len(m.name) for m in self._members)
        self.size = entries + _END.size
        if self.size >= _LIMIT:
            raise InvalidInput(
                "The version is too large for a zip file.",
                field="format",
                fix="Ask for `tar`.",
                code="too-large-for-zip",
            )

    def _whole(self) -> Iterator[bytes]:
        directory, offset = b"", 0
        for member in self._members:
            content, name = Checked(member.chunks()), member.name.encode("ascii")
            yield _LOCAL.pack(b"PK\3\4", *_COMMON, 0, 0, 0, len(name), 0) + name
            yield from stored(content, member.size)
            yield _DESCRIPTOR.pack(b"PK\7\x08", content.crc, stored_size(member.size), member.size)
            directory += _central(member, content.crc, offset)
            offset += _entry_size(member)
        count = len(self._members)
        yield directory + _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), offset, 0)


def _entry_size(member: Member) -> int:
    return _LOCAL.size + len(member.name) + stored_size(member.size) + _DESCRIPTOR.size


def _central(member: Member, crc: int, offset: int) -> bytes:
    """A file's record in the central directory."""
    name, packed = member.name.encode("ascii"), stored_size(member.size)
    record = (_ON_UNIX | _NEEDED, *_COMMON, crc, packed, member.size, len(name), 0, 0, 0, 0, _MODE, offset)
    return _CENTRAL.pack(b"PK\1\2", *record) + name
