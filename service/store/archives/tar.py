"""Entries of a tar stream.

The headers are read by a loop of our own because tarfile follows chains of extended headers and
allocates whatever size they state.
"""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from service.store.archives.entries import Entry, EntryKind, Meter, broken_archives_are_refused
from service.store.digests import CHUNK_BYTES

_EXTENDED_HEADER_BYTES = 64 * 1024


def tar_entries(stream: BinaryIO, meter: Meter) -> Iterator[Entry]:
    """The entries in stored order; an entry's unread content is passed over. The stream is read to its end."""
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
        chunks = _content(stream, size if header.isreg() else 0, meter)
        yield Entry(header.name if renamed is None else renamed, _kind(header), chunks)
        for _ in chunks:
            pass
        renamed = resized = None
    # The checksum of a gzip stream stands at its very end.
    while rest := stream.read(CHUNK_BYTES):
        meter.count_bytes(len(rest))


def _kind(header: tarfile.TarInfo) -> EntryKind:
    if header.isdir():
        return EntryKind.directory
    if header.issym() or header.islnk():
        return EntryKind.link
    return EntryKind.file if header.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else EntryKind.special


def _content(stream: BinaryIO, size: int, meter: Meter) -> Iterator[bytes]:
    with broken_archives_are_refused():
        left = size
        while left:
            chunk = _read_block(stream, min(left, CHUNK_BYTES), meter)
            left -= len(chunk)
            yield chunk
        _read_block(stream, -size % tarfile.BLOCKSIZE, meter)


def _read_extended(stream: BinaryIO, size: int, meter: Meter) -> bytes:
    """The content of an extended header, which describes the next entry."""
    if not 0 <= size <= _EXTENDED_HEADER_BYTES:
        raise tarfile.HeaderError("extended header too long")
    return _read_block(stream, size + -size % tarfile.BLOCKSIZE, meter)[:size]


def _read_block(stream: BinaryIO, size: int, meter: Meter) -> bytes:
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
