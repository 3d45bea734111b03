"""Envelope encryption of dataset rows, and the keys of what is derived from them.

Every text and every tree of derived files is encrypted under its own random key, and that key is wrapped under the
master key. To destroy it for good, it is enough to delete its wrapped key (crypto-shredding, NIST SP 800-88 rev. 1,
section 2.6, "cryptographic erase"): then no copy of the ciphertext opens, unless it holds the wrapped key too. Trees
lie apart from their keys, so copies of the blob store are covered. Texts lie beside theirs, so a backup of the
database opens with the master key until it ages out.

Both layers are AES-256-GCM (NIST SP 800-38D) and authenticate the row's `context`, so that a
ciphertext or a key moved to another row does not open. Layout of either field:

    version (1 byte) | nonce (12 bytes) | ciphertext | tag (16 bytes)

Random nonces allow 2³² seals under one master key (SP 800-38D, section 8.3).
"""

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.domain.errors import Corrupted, Shredded
from service.evidence.derivation import KEY_BYTES, derive

_VERSION = b"\x01"
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted text and its wrapped key; without the key (None) the text is gone for ever."""

    ciphertext: bytes
    wrapped_key: bytes | None


class Sealer:
    """Makes keys, wrapped under the master key, and seals texts under them. Safe to share between threads."""

    def __init__(self, master_key: bytes) -> None:
        self._wrapping = AESGCM(derive(master_key, "row key wrapping 1"))

    def new_key(self, *, context: str) -> tuple[bytes, bytes]:
        """A random key of 256 bits, and its wrapped form. `context` says what it is for and is needed again."""
        key = os.urandom(KEY_BYTES)
        return key, _encrypt(self._wrapping, key, b"key\0" + context.encode())

    def unwrap(self, wrapped_key: bytes | None, *, context: str) -> bytes:
        """The key.

        Raises:
            Shredded: it was destroyed.
            Corrupted: it was altered, belongs to another context, or the master key is another one.
        """
        if wrapped_key is None:
            raise Shredded("The data were erased and their key destroyed; they cannot be read again.")
        return _decrypt(self._wrapping, wrapped_key, b"key\0" + context.encode())

    def seal(self, plaintext: bytes, *, context: str) -> Sealed:
        """Encrypt `plaintext`. `context` names its place (dataset and instance id) and must be given to unseal it."""
        key, wrapped_key = self.new_key(context=context)
        return Sealed(_encrypt(AESGCM(key), plaintext, b"text\0" + context.encode()), wrapped_key)

    def unseal(self, sealed: Sealed, *, context: str) -> bytes:
        """The plaintext.

        Raises:
            Shredded: the wrapped key was destroyed.
            Corrupted: the bytes were altered, belong to another context, or the master key is another one.
        """
        key = self.unwrap(sealed.wrapped_key, context=context)
        return _decrypt(AESGCM(key), sealed.ciphertext, b"text\0" + context.encode())


def _encrypt(cipher: AESGCM, plaintext: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + nonce + cipher.encrypt(nonce, plaintext, associated)


def _decrypt(cipher: AESGCM, sealed: bytes, associated: bytes) -> bytes:
    nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    if sealed[:1] != _VERSION or len(nonce) != _NONCE_BYTES:
        raise Corrupted("A sealed text or key has an unknown layout.", code="seal-broken")
    try:
        return cipher.decrypt(nonce, ciphertext, associated)
    except InvalidTag:
        raise Corrupted(
            "A sealed text or key does not open.",
            fix="Check that LETHE_MASTER_KEY is the key under which the data were sealed.",
            code="seal-broken",
        ) from None
