"""Entries of a zip file."""

import stat
import zipfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from service.domain.errors import InvalidArchive
from service.store.archives.entries import Entry, EntryKind, Meter, broken_archives_are_refused
from service.store.digests import CHUNK_BYTES

# The directory of a zip file is the largest thing that is read in one piece.
_DIRECTORY_BYTES = 1024 * 1024


def zip_entries(file: BinaryIO, meter: Meter) -> Iterator[Entry]:
    """The entries in the order of the directory; what is not read is not unpacked."""
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
            yield Entry(info.orig_filename, _kind(info), _content(archive, info, meter))


def _kind(info: zipfile.ZipInfo) -> EntryKind:
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return EntryKind.link
    if info.orig_filename.endswith("/") or stat.S_ISDIR(mode):
        return EntryKind.directory
    return EntryKind.file if stat.S_IFMT(mode) in (0, stat.S_IFREG) else EntryKind.special


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, meter: Meter) -> Iterator[bytes]:
    with broken_archives_are_refused(), archive.open(info) as file:
        while chunk := file.read(CHUNK_BYTES):
            meter.count_bytes(len(chunk))
            yield chunk


class _PatientFile:
    """A file that gives at most `_DIRECTORY_BYTES` at a time, whatever a zip's directory claims to need."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        data = b"" if size > _DIRECTORY_BYTES else self._file.read(_DIRECTORY_BYTES + 1 if size < 0 else size)
        if max(size, len(data)) > _DIRECTORY_BYTES:
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
