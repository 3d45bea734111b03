"""Keyed hashes: how identifiers and texts are recognised again without being kept.

HMAC-SHA256 (RFC 2104) with a sub-key of the master key for every purpose, so that hashes of
different kinds cannot be joined and nobody without the master key can test guesses. Store `key_id`
beside a hash: after a rotation the same value hashes differently under the next `version`.
"""

import hmac
import json
import re

from service.domain.instances import Content, canonical_subject
from service.evidence.derivation import derive

_PSEUDONYM = re.compile(r"erased:([0-9a-f]{64})")
_PURPOSES = ("subject", "content", "instance", "ledger", "api key", "body")


class KeyedHash:
    """All hashes are 64 lower-case hex digits."""

    def __init__(self, master_key: bytes, *, version: int = 1) -> None:
        self._keys = {purpose: derive(master_key, f"{purpose} hash {version}") for purpose in _PURPOSES}
        self.key_id = f"h{version}-{derive(master_key, f'hash key id {version}').hex()[:8]}"

    def subject(self, subject: str) -> str:
        """A data subject, in canonical form."""
        return self._hash("subject", canonical_subject(subject).encode())

    def content(self, content: Content) -> str:
        """An instance's text: equal for exact duplicates up to case, white space and Unicode form."""
        return self._hash("content", content.normalised())

    def instance(self, dataset_id: str, instance_id: str) -> str:
        """An instance, named by its dataset and its id, or by the pseudonym that took the id's place."""
        erased = _PSEUDONYM.fullmatch(instance_id)
        if erased:
            return erased[1]
        return self._hash("instance", json.dumps([dataset_id, instance_id]).encode())

    def pseudonym(self, dataset_id: str, instance_id: str) -> str:
        """The name under which an instance is known once it was erased."""
        return f"erased:{self.instance(dataset_id, instance_id)}"

    def ledger(self, digest: str) -> str:
        """The digest of a ledger. Without a key, one could test guesses of a short ledger's content."""
        return self._hash("ledger", digest.encode())

    def api_key(self, token: str) -> str:
        """An API key, as the database keeps it."""
        return self._hash("api key", token.encode())

    def body(self, body: bytes) -> str:
        """The raw body of a request, for its receipt."""
        return self._hash("body", body)

    def _hash(self, purpose: str, message: bytes) -> str:
        return hmac.digest(self._keys[purpose], message, "sha256").hex()
