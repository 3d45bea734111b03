"""Encryption of files, piece by piece, under the key of the tree that they belong to.

Every piece is sealed with AES-256-GCM under a nonce that holds its number and whether it is the last one, so that
pieces which were dropped, added or moved do not open (STREAM: Hoang, Reyhanitabar, Rogaway and Vizár,
https://eprint.iacr.org/2015/189). Every file has a key of its own, derived from the tree's key, a random salt and the
file's name, so that one file does not open in the place of another. Layout:

    version (1 byte) | salt (16 bytes) | pieces

A piece is the ciphertext of a mebibyte, the last one's of what is left, maybe nothing, and a tag of 16 bytes. At most
two pieces are in memory.
"""

import os
from collections.abc import Iterator
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.domain.errors import Corrupted
from service.evidence.derivation import derive

_VERSION = b"\x01"
_SALT_BYTES = 16
_PIECE_BYTES = 1 << 20
_TAG_BYTES = 16
_COUNTER_BYTES = 11


class Source(Protocol):
    """An open file; `read` gives fewer bytes than asked for only at its end."""

    def read(self, size: int, /) -> bytes: ...


class Sink(Protocol):
    """An open file."""

    def write(self, data: bytes, /) -> int: ...


class FileSealer:
    """Seals and unseals the files of one tree. `key`: the tree's, 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, source: Source, target: Sink, *, name: str) -> None:
        """Encrypt what is left of `source`. `name` names its place in the tree and must be given to unseal it."""
        salt = os.urandom(_SALT_BYTES)
        target.write(_VERSION + salt)
        cipher = self._cipher(name, salt)
        for nonce, piece in _pieces(source, _PIECE_BYTES):
            target.write(cipher.encrypt(nonce, piece, None))

    def unseal(self, source: Source, target: Sink, *, name: str) -> None:
        """Decrypt what `seal` wrote. Only what is authentic is written, but the file may turn out to be cut short.

        Raises:
            Corrupted: the file was altered or cut, or belongs to another place or tree.
        """
        header = source.read(len(_VERSION) + _SALT_BYTES)
        version, salt = header[: len(_VERSION)], header[len(_VERSION) :]
        if version != _VERSION or len(salt) != _SALT_BYTES:
            raise Corrupted("A sealed file has an unknown layout.", code="seal-broken")
        cipher = self._cipher(name, salt)
        for nonce, piece in _pieces(source, _PIECE_BYTES + _TAG_BYTES):
            try:
                target.write(cipher.decrypt(nonce, piece, None))
            except InvalidTag:
                raise Corrupted("A sealed file does not open.", code="seal-broken") from None

    def _cipher(self, name: str, salt: bytes) -> AESGCM:
        return AESGCM(derive(self._key, f"sealed file 1 {salt.hex()} {name}"))


def _pieces(source: Source, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Every piece with its nonce: number, and whether it is the last."""
    number, piece = 0, source.read(size)
    while True:
        following = source.read(size)
        yield number.to_bytes(_COUNTER_BYTES, "big") + (b"\0" if following else b"\1"), piece
        if not following:
            return
        number, piece = number + 1, following
