"""What is common to archives of any kind that we are sent: their entries, their limits, their damage.

Archives are read as if an attacker had made them. No size that an archive states is trusted: memory
stays below a few megabytes, and what comes out is counted while it is being decompressed.
"""

import gzip
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto

from service.domain.errors import InvalidArchive


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may unpack to. `ratio`: unpacked per uploaded byte, which holds from 16 MiB on."""

    entries: int = 1_000
    size: int = 8 * 2**30
    ratio: int = 100


DEFAULT_LIMITS = Limits()


class EntryKind(Enum):
    file = auto()
    directory = auto()
    link = auto()
    special = auto()


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, with the name as stored. Read `chunks` before asking for the next entry."""

    name: str
    kind: EntryKind
    chunks: Iterator[bytes]


class Meter:
    """Counts entries and unpacked bytes of one archive against its limits."""

    _RATIO_FROM = 16 * 2**20

    def __init__(self, limits: Limits, packed: int) -> None:
        self._limits = limits
        self._packed = packed
        self._entries = 0
        self._unpacked = 0

    def count_entry(self) -> None:
        """Raises InvalidArchive: `too-many-entries`."""
        self._entries += 1
        if self._entries > self._limits.entries:
            raise InvalidArchive(
                f"The archive has more than {self._limits.entries} entries.",
                field="/archive",
                fix="Pack the adapter's files only.",
                code="too-many-entries",
            )

    def count_bytes(self, count: int) -> None:
        """Raises InvalidArchive: `archive-too-large` or `compression-bomb`."""
        self._unpacked += count
        if self._unpacked > self._limits.size:
            raise InvalidArchive(
                f"The archive unpacks to more than {self._limits.size} bytes.",
                field="/archive",
                fix="Pack the adapter's files only.",
                code="archive-too-large",
            )
        if self._unpacked > max(self._RATIO_FROM, self._limits.ratio * self._packed):
            raise InvalidArchive(
                f"The archive unpacks to more than {self._limits.ratio} times its size.",
                field="/archive",
                fix="Weights do not compress like this; pack the adapter again.",
                code="compression-bomb",
            )


@contextmanager
def broken_archives_are_refused() -> Iterator[None]:
    """Turn what the readers raise on damage into `broken-archive`."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        tarfile.HeaderError,
        zlib.error,
        EOFError,
        struct.error,
        NotImplementedError,
        OverflowError,
        UnicodeDecodeError,
    ):
        raise InvalidArchive(
            "The archive is damaged or cut short.",
            field="/archive",
            fix="Pack and upload it again.",
            code="broken-archive",
        ) from None
