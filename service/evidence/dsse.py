"""DSSE v1: signed envelopes around a payload that is verified before it is parsed.

https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from service.domain.errors import Corrupted

Envelope = dict[str, Any]
"""The JSON form: `payload` in base64, `payloadType`, and `signatures` of `keyid` and `sig`."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """An envelope's parts, of which nothing is verified yet. `signatures`: key id, if given, and signature."""

    payload: bytes
    message: bytes
    signatures: tuple[tuple[str | None, bytes], ...]

    def signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether any of the signatures was made by `key`, whatever key id it bears."""
        return any(_holds(key, signature, self.message) for _, signature in self.signatures)


class PayloadSigner(Protocol):
    """What signs an envelope: a key with a name."""

    @property
    def kid(self) -> str: ...

    def sign(self, message: bytes) -> bytes: ...


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """PAE of the DSSE protocol: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, *, payload_type: str, signer: PayloadSigner) -> Envelope:
    """An envelope with one signature."""
    signature = signer.sign(pre_authentication_encoding(payload_type, payload))
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": signer.kid, "sig": base64.b64encode(signature).decode()}],
    }


def verify(envelope: Mapping[str, Any], *, payload_type: str, keys: Iterable[Ed25519PublicKey]) -> bytes:
    """The payload, if any of the signatures was made by any of the trusted `keys`.

    Every key is tried: `keyid` is not authenticated and may be absent (protocol, section "Protocol").

    Raises:
        Corrupted: no signature holds, the payload is of another type, or this is no envelope.
    """
    parsed = parse(envelope, payload_type=payload_type)
    if not any(parsed.signed_by(key) for key in keys):
        raise Corrupted("No trusted key has signed this envelope.", code="bad-signature")
    return parsed.payload


def parse(envelope: Mapping[str, Any], *, payload_type: str) -> Parsed:
    """Take an envelope apart, for a verifier that wants to know who signed.

    Raises:
        Corrupted: the payload is of another type, or this is no envelope.
    """
    try:
        payload = _decode(envelope["payload"])
        signatures = tuple((_key_id(one.get("keyid")), _decode(one["sig"])) for one in envelope["signatures"])
        kind = envelope["payloadType"]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Corrupted("This is no DSSE envelope.", code="not-an-envelope") from None
    if kind != payload_type:
        raise Corrupted(f"The envelope does not hold a payload of type {payload_type}.", code="not-an-envelope")
    return Parsed(payload, pre_authentication_encoding(payload_type, payload), signatures)


def _key_id(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _decode(text: str) -> bytes:
    """Either base64 alphabet, as the protocol demands of verifiers."""
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)


def _holds(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
