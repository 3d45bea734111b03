"""Merkle tree hashes (RFC 6962, section 2.1): one hash that commits to a list of entries."""

import hashlib
from collections.abc import Sequence


def merkle_root(entries: Sequence[bytes]) -> bytes:
    """The 32-byte Merkle tree hash of the entries, in this order. Sort them first if they are a set."""
    if not entries:
        return hashlib.sha256(b"").digest()
    level = [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]
    # Pairing neighbours level by level and letting an odd last node rise gives the RFC's split at the
    # largest power of two.
    while len(level) > 1:
        paired = [hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(level) & ~1 :]
    return level[0]
