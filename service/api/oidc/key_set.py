"""The public keys that an identity provider signs with, read from it when they are needed (OpenID Connect Discovery).

They count as fresh for five minutes, so that long a key that the provider withdraws is trusted on. A token that names
an unknown key has them read again, but not more often than the cool-down allows: anybody can make up such tokens.
While the provider does not answer, what was read last counts for an hour.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from service.api.errors import ProviderAway
from service.api.oidc.discovery import FAILURES, Discovery

FRESH_S, STALE_S, COOL_DOWN_S = 300.0, 3600.0, 10.0
MAX_KEYS = 100
# RFC 8725, section 3.5.
MIN_RSA_BITS = 2048

# Which algorithm a key is for, by its type and curve. A key is used with no other, whatever a token says.
_ALGORITHMS = {"RSA": "RS256", "EC P-256": "ES256", "OKP Ed25519": "EdDSA"}
ALGORITHMS = tuple(_ALGORITHMS.values())

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Read:
    keys: Sequence[PyJWK]
    at: float


class KeySet:
    """The keys of one issuer. Threads share it. `clock`: seconds, monotonic."""

    def __init__(self, discovery: Discovery, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.discovery, self._clock = discovery, clock
        self._lock = threading.Lock()
        self._read: _Read | None = None
        self._tried_at = -COOL_DOWN_S

    def key(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key with this id for this algorithm; None if the provider has no such key, or more than one.

        Without an id it is the only one for the algorithm: then tokens need not name it (OpenID Connect Core, 10.1).

        Raises:
            ProviderAway: the provider's keys cannot be had.
        """
        if not self._knows(kid):
            with self._lock:
                if not self._knows(kid):
                    self._read_again()
        if self._read is None or self._clock() - self._read.at > STALE_S:
            raise ProviderAway
        fitting = [key for key in self._read.keys if kid in (None, key.key_id) and key.algorithm_name == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _knows(self, kid: str | None) -> bool:
        """Whether asking the provider could tell nothing new, or would be too early."""
        now, read = self._clock(), self._read
        if now - self._tried_at < COOL_DOWN_S:
            return True
        if read is None or now - read.at >= FRESH_S:
            return False
        return kid is None or any(key.key_id == kid for key in read.keys)

    def _read_again(self) -> None:
        try:
            document = self.discovery.document("GET", str(self.discovery.metadata()["jwks_uri"]))
            self._read = _Read(tuple(_usable(document)), self._clock())
        except FAILURES as error:
            logger.warning("the keys of the identity provider cannot be read: %s", type(error).__name__)
        finally:
            self._tried_at = self._clock()


def _usable(document: Mapping[str, Any]) -> Iterator[PyJWK]:
    """Keys that verify with one of our algorithms. Others are left out."""
    for jwk in list(document["keys"])[:MAX_KEYS]:
        if not isinstance(jwk, dict):
            continue
        algorithm = _ALGORITHMS.get(" ".join(str(jwk[member]) for member in ("kty", "crv") if member in jwk))
        is_public = "d" not in jwk and jwk.get("use", "sig") == "sig"
        if algorithm is None or jwk.get("alg", algorithm) != algorithm or not is_public:
            continue
        try:
            key = PyJWK(jwk, algorithm)
        except (PyJWTError, ValueError):
            continue
        if not isinstance(key.key, RSAPublicKey) or key.key.key_size >= MIN_RSA_BITS:
            yield key
