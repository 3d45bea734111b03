"""Keyed hashes: how identifiers and texts are recognised again without being kept.

HMAC-SHA256 (RFC 2104) with a sub-key of the master key for every purpose, so that hashes of
different kinds cannot be joined and nobody without the master key can test guesses. Store `key_id`
beside a hash: after a rotation the same value hashes differently under the next `version`.
"""

import hmac
import json
import re
from collections.abc import Iterable

from service.domain.instances import Content
from service.domain.subjects import ANY_KIND, NO_KIND, Identity, canonical_value, identity_of
from service.evidence import minhash
from service.evidence.derivation import derive

_PSEUDONYM = re.compile(r"erased:([0-9a-f]{64})")
_PURPOSES = (
    "subject",
    "subject digest",
    "content",
    "shingle",
    "instance",
    "ledger",
    "api key",
    "body",
    "delivery",
    "person",
    "journal",
    "session",
    "form token",
)


class KeyedHash:
    """All hashes are 64 lower-case hex digits."""

    def __init__(self, master_key: bytes, *, version: int = 1) -> None:
        self._keys = {purpose: derive(master_key, f"{purpose} hash {version}") for purpose in _PURPOSES}
        self.key_id = f"h{version}-{derive(master_key, f'hash key id {version}').hex()[:8]}"

    def subject(self, subject: str | Identity) -> str:
        """A data subject: of a plain identifier the canonical form, else its kind and its digest."""
        identity = identity_of(subject)
        if identity.kind is None and identity.value is not None:
            return self._plain(identity.value)
        return self._digest(identity.kind or NO_KIND, identity.digests()[0])

    def subject_names(self, subject: str | Identity) -> tuple[str, ...]:
        """Every hash under which a data subject that an instance names may be looked up, its own first."""
        identity = identity_of(subject)
        scopes = (NO_KIND,) if identity.kind is None else (identity.kind, ANY_KIND)
        return tuple(dict.fromkeys([self.subject(identity), *self._digests(identity, scopes)]))

    def subject_lookups(self, subject: str | Identity) -> tuple[str, ...]:
        """The hashes by which to look for a data subject, its own first; one in common with its names is a match.

        Who does not say the kind means all; an instance that does not say it may mean any.
        """
        identity = identity_of(subject)
        scopes = (NO_KIND, ANY_KIND) if identity.kind is None else (identity.kind, NO_KIND)
        plain = () if identity.value is None else (self._plain(identity.value),)
        return tuple(dict.fromkeys([self.subject(identity), *plain, *self._digests(identity, scopes)]))

    def _plain(self, value: str) -> str:
        return self._hash("subject", canonical_value(value).encode())

    def _digests(self, identity: Identity, scopes: Iterable[str]) -> list[str]:
        return [self._digest(scope, digest) for scope in scopes for digest in identity.digests()]

    def _digest(self, scope: str, digest: str) -> str:
        return self._hash("subject digest", json.dumps([scope, digest]).encode())

    def content(self, content: Content) -> str:
        """An instance's text: equal for exact duplicates up to case, white space and Unicode form."""
        return self._hash("content", content.normalised())

    def sketch(self, content: Content) -> bytes:
        """What near duplicates of an instance's text are found by."""
        return minhash.sketch(content.words(), self._keys["shingle"])

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

    def person(self, issuer: str, subject: str) -> str:
        """A person or workload of an identity provider."""
        return self._hash("person", json.dumps([issuer, subject]).encode())

    def session(self, token: str) -> str:
        """The cookie of a session of the desk, as the database keeps it."""
        return self._hash("session", token.encode())

    def form_token(self, token: str) -> str:
        """What the forms of a session carry: whoever knows it has read one of its pages."""
        return self._hash("form token", token.encode())

    def body(self, body: bytes) -> str:
        """The raw body of a request, for its receipt."""
        return self._hash("body", body)

    def journal(self, entry: bytes) -> str:
        """An entry of the erasure journal, which it proves to be ours."""
        return self._hash("journal", entry)

    def delivery(self, *parts: str) -> str:
        """What a sender calls a delivery, or what it asks for."""
        return self._hash("delivery", json.dumps(parts).encode())

    def _hash(self, purpose: str, message: bytes) -> str:
        return hmac.digest(self._keys[purpose], message, "sha256").hex()
