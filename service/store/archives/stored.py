"""A deflate stream that only stores: blocks of type 00 (RFC 1951, section 3.2.4)."""

import zlib
from collections.abc import Iterable, Iterator

_BLOCK_BYTES = 0xFFFF
_HEADER_BYTES = 5


class Checked:
    """Chunks on their way, and the CRC-32 of those that went by."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.crc = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.crc = zlib.crc32(chunk, self.crc)
            yield chunk


def stored_size(size: int) -> int:
    """Length of the stream that holds `size` bytes."""
    return size + _HEADER_BYTES * _blocks(size)


def stored(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The stream that holds these chunks, `size` bytes in all."""
    blocks = _blocks(size)
    if size == 0:
        yield _block(b"", is_last=True)
    for number, block in enumerate(_regrouped(chunks), start=1):
        yield _block(block, is_last=number == blocks)


def _blocks(size: int) -> int:
    """A stream has at least one block."""
    return max(1, -(-size // _BLOCK_BYTES))


def _block(data: bytes, *, is_last: bool) -> bytes:
    size = len(data).to_bytes(2, "little")
    return bytes([is_last]) + size + bytes(byte ^ 0xFF for byte in size) + data


def _regrouped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of a block's size, the last one shorter."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        whole = len(buffer) - len(buffer) % _BLOCK_BYTES
        for start in range(0, whole, _BLOCK_BYTES):
            yield bytes(buffer[start : start + _BLOCK_BYTES])
        del buffer[:whole]
    if buffer:
        yield bytes(buffer)
