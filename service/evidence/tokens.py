"""API keys: `lethe_`, 32 random base62 characters (190 bits) and a checksum.

The checksum (CRC-32 of all that precedes it, in six base62 characters) lets secret scanners and the
API tell a mistyped or made-up key from a revoked one without a look into the database.
"""

import secrets
import string
import zlib

_PREFIX = "lethe_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH = 32
_CHECKSUM_LENGTH = 6


def new_token() -> str:
    """A fresh API key. It is shown once; only its keyed hash is stored."""
    unchecked = _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return unchecked + _checksum(unchecked)


def well_formed(token: str) -> bool:
    """Whether this could be one of our keys: prefix, length, alphabet and checksum are right."""
    unchecked, checksum = token[:-_CHECKSUM_LENGTH], token[-_CHECKSUM_LENGTH:]
    return (
        token.startswith(_PREFIX)
        and len(unchecked) == len(_PREFIX) + _RANDOM_LENGTH
        and set(token[len(_PREFIX) :]) <= set(_ALPHABET)
        and checksum == _checksum(unchecked)
    )


def _checksum(text: str) -> str:
    value, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        value, digit = divmod(value, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
