"""Copies of files that are encrypted on their way into the blob store, and decrypted on their way out."""

from typing import BinaryIO

from service.evidence.sealed_files import FileSealer
from service.store.digests import Copy, Counted, Digest


def sealing(key: bytes, name: str) -> Copy:
    """Encrypts the file `name` of the tree that has this key."""

    def copy(source: BinaryIO, target: BinaryIO) -> Digest:
        counted = Counted(target)
        FileSealer(key).seal(source, counted, name=name)
        return counted.digest

    return copy


def unsealing(key: bytes, name: str) -> Copy:
    """Decrypts it again; raises Corrupted if it is not authentic."""

    def copy(source: BinaryIO, target: BinaryIO) -> Digest:
        counted = Counted(source)
        FileSealer(key).unseal(counted, target, name=name)
        return counted.digest

    return copy
