"""Sub-keys of a key, one a purpose, so that no two uses ever share a key."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32


def derive(key: bytes, purpose: str) -> bytes:
    """The 256-bit sub-key for `purpose` (HKDF-SHA256, RFC 5869, no salt).

    Raises:
        ValueError: the key is not 256 bits long.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key must have {KEY_BYTES} bytes")
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"lethe {purpose}".encode()).derive(key)
