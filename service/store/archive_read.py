"""Entries of uploaded archives (`.zip`, `.tar`, `.tar.gz`), read as if an attacker had made them.

Nothing is written here and no size that an archive states is trusted: memory stays below a few
megabytes, and what comes out is counted against limits while it is being decompressed. Tar headers
are read by a loop of our own because tarfile follows chains of extended headers and allocates what
they state.
"""

import gzip
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO, cast

from service.domain.errors import InvalidArchive
from service.store.digests import CHUNK_BYTES

_FIX_FORMAT = "Upload a .zip, .tar or .tar.gz file."
_EXTENDED_HEADER_BYTES = 64 * 1024
# The directory of a zip file is the largest thing that is read in one piece.
_ZIP_DIRECTORY_BYTES = 1024 * 1024


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


def read_entries(archive: Path, limits: Limits) -> Iterator[Entry]:
    """The entries of an archive in stored order.

    Raises:
        InvalidArchive: `unknown-archive`, `broken-archive`, `encrypted-archive`, `too-many-entries`,
            `archive-too-large` or `compression-bomb`, on the step that finds it out.
    """
    meter = _Meter(limits, archive.stat().st_size)
    with archive.open("rb") as file, _broken_archives_are_refused():
        start = file.read(tarfile.BLOCKSIZE)
        file.seek(0)
        if start.startswith(b"PK"):
            yield from _zip_entries(file, meter)
        elif start.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=file) as stream:
                yield from _tar_entries(cast(BinaryIO, stream), meter)
        elif start[257:262] == b"ustar":
            yield from _tar_entries(file, meter)
        else:
            raise InvalidArchive(
                "The file is not an archive of a known kind.",
                field="/archive",
                fix=_FIX_FORMAT,
                code="unknown-archive",
            )


class _Meter:
    """Counts entries and unpacked bytes of one archive against its limits."""

    _RATIO_FROM = 16 * 2**20

    def __init__(self, limits: Limits, packed: int) -> None:
        self._limits = limits
        self._packed = packed
        self._entries = 0
        self._unpacked = 0

    def count_entry(self) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise InvalidArchive(
                f"The archive has more than {self._limits.entries} entries.",
                field="/archive",
                fix="Pack the adapter's files only.",
                code="too-many-entries",
            )

    def count_bytes(self, count: int) -> None:
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
def _broken_archives_are_refused() -> Iterator[None]:
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


def _tar_entries(stream: BinaryIO, meter: _Meter) -> Iterator[Entry]:
    renamed: str | None = None
    resized: int | None = None
    while (block := _read_block(stream, tarfile.BLOCKSIZE, meter)).strip(b"\0"):
        meter.count_entry()
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        size = header.size if resized is None else resized
        if size < 0:
            raise tarfile.HeaderError("negative size")
        if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            records = _pax_records(_read_extended(stream, header.size, meter))
            renamed = records.get("path", renamed)
            resized = _decimal(records["size"]) if "size" in records else resized
            continue
        if header.type == tarfile.GNUTYPE_LONGNAME:
            renamed = _text(_read_extended(stream, header.size, meter).rstrip(b"\0"))
            continue
        if header.type in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            _read_extended(stream, header.size, meter)
            continue
        chunks = _tar_content(stream, size if header.isreg() else 0, meter)
        yield Entry(header.name if renamed is None else renamed, _tar_kind(header), chunks)
        for _ in chunks:
            pass
        renamed = resized = None
    # The checksum of a gzip stream stands at its very end.
    while rest := stream.read(CHUNK_BYTES):
        meter.count_bytes(len(rest))


def _tar_kind(header: tarfile.TarInfo) -> EntryKind:
    if header.isdir():
        return EntryKind.directory
    if header.issym() or header.islnk():
        return EntryKind.link
    return EntryKind.file if header.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else EntryKind.special


def _tar_content(stream: BinaryIO, size: int, meter: _Meter) -> Iterator[bytes]:
    with _broken_archives_are_refused():
        left = size
        while left:
            chunk = _read_block(stream, min(left, CHUNK_BYTES), meter)
            left -= len(chunk)
            yield chunk
        _read_block(stream, -size % tarfile.BLOCKSIZE, meter)


def _read_extended(stream: BinaryIO, size: int, meter: _Meter) -> bytes:
    """The content of an extended header, which describes the next entry."""
    if not 0 <= size <= _EXTENDED_HEADER_BYTES:
        raise tarfile.HeaderError("extended header too long")
    return _read_block(stream, size + -size % tarfile.BLOCKSIZE, meter)[:size]


def _read_block(stream: BinaryIO, size: int, meter: _Meter) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    meter.count_bytes(size)
    return data


def _pax_records(data: bytes) -> dict[str, str]:
    """Records `length key=value newline` (POSIX pax, extended header)."""
    records, position = {}, 0
    while position < len(data):
        blank = data.find(b" ", position, position + 8)
        if blank < 0:
            raise tarfile.HeaderError("malformed record")
        end = position + _decimal(_text(data[position:blank]))
        if not blank < end <= len(data) or data[end - 1 : end] != b"\n":
            raise tarfile.HeaderError("malformed record")
        key, equals, value = data[blank + 1 : end - 1].partition(b"=")
        if not equals or key.startswith(b"GNU.sparse"):
            raise tarfile.HeaderError("malformed record, or a sparse file")
        records[_text(key)] = _text(value)
        position = end
    return records


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise tarfile.HeaderError("malformed number")
    return int(text)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class _PatientFile:
    """A file that gives at most `_ZIP_DIRECTORY_BYTES` at a time, whatever a zip's directory claims to need."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        data = b"" if size > _ZIP_DIRECTORY_BYTES else self._file.read(_ZIP_DIRECTORY_BYTES + 1 if size < 0 else size)
        if max(size, len(data)) > _ZIP_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("directory too large")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0 and offset < 0:
            raise zipfile.BadZipFile("offset before the start")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _zip_entries(file: BinaryIO, meter: _Meter) -> Iterator[Entry]:
    with zipfile.ZipFile(cast(BinaryIO, _PatientFile(file))) as archive:
        for info in archive.infolist():
            meter.count_entry()
            if info.flag_bits & 0x1:
                raise InvalidArchive(
                    "The archive is encrypted.",
                    field="/archive",
                    fix="Pack it without a password.",
                    code="encrypted-archive",
                )
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile("unsupported compression")
            yield Entry(info.orig_filename, _zip_kind(info), _zip_content(archive, info, meter))


def _zip_kind(info: zipfile.ZipInfo) -> EntryKind:
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return EntryKind.link
    if info.orig_filename.endswith("/") or stat.S_ISDIR(mode):
        return EntryKind.directory
    return EntryKind.file if stat.S_IFMT(mode) in (0, stat.S_IFREG) else EntryKind.special


def _zip_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, meter: _Meter) -> Iterator[bytes]:
    with _broken_archives_are_refused(), archive.open(info) as file:
        while chunk := file.read(CHUNK_BYTES):
            meter.count_bytes(len(chunk))
            yield chunk
