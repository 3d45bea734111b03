"""Archives of versions for download, whose bytes are a function of the files alone.

Members are sorted, flat, and carry no time, owner or host, and nothing is compressed: weights do not compress, a
compressor's output would differ between its builds, and this way the length is known before the first byte is read. So
an archive can have a strong ETag, a Content-Length and byte ranges without ever being written to a disk.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from service.domain.errors import Corrupted
from service.store.digests import CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive; `open` is called when its turn comes and the result is closed."""

    name: str
    size: int
    open: Callable[[], BinaryIO]

    def chunks(self) -> Iterator[bytes]:
        """Its content.

        Raises:
            Corrupted: it is not as long as was said.
        """
        left = self.size
        with self.open() as file:
            while chunk := file.read(CHUNK_BYTES):
                left -= len(chunk)
                yield chunk
        if left:
            raise Corrupted("A stored file does not have the size its manifest says.")


class Archive(ABC):
    """A deterministic archive of some files. `size` is its length in bytes."""

    size: int

    def __init__(self, members: Iterable[Member]) -> None:
        self._members = sorted(members, key=lambda member: member.name)

    def chunks(self, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes `start` to `stop` (exclusive; None: the end). What precedes `start` is read as well.

        Raises:
            Corrupted: a file is not as long as was said.
        """
        position, stop = 0, self.size if stop is None else min(stop, self.size)
        for chunk in self._whole():
            wanted = chunk[max(start - position, 0) : max(stop - position, 0)]
            position += len(chunk)
            if wanted:
                yield wanted
            if position >= stop:
                return

    @abstractmethod
    def _whole(self) -> Iterator[bytes]:
        """Every byte, in order."""
