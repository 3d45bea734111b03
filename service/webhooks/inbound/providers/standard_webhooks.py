"""Standard Webhooks 1.0.0, and Svix, which it comes from: HMAC-SHA256 (`v1`) and Ed25519 (`v1a`) signatures.

The signed bytes are `id.timestamp.body`; the header lists signatures separated by spaces, so that the sender too can
rotate its keys.
"""

import base64
import binascii
import hmac
import re
import secrets as random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict

from service.domain.errors import InvalidInput, NotFromSender
from service.flows.file_ask import Ask
from service.webhooks.inbound import generic
from service.webhooks.inbound.delivery import Delivery, matches_any, wrong_signature
from service.webhooks.inbound.payload import parse, validated
from service.webhooks.inbound.provider import Ignored, Rules

SYMMETRIC, PUBLIC = "whsec_", "whpk_"
SECRET_BYTES = 32
ERASURE = frozenset({"erasure.requested"})
CORRECTION = "correction.requested"
MAX_SIGNATURES = 20

# A dot would let what is signed be cut elsewhere.
_ID = re.compile(r"[!-\-/-~]{1,120}")
_SECONDS = re.compile(r"[0-9]{1,11}")


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    type: str
    data: dict[str, Any]


class StandardWebhooks:
    """Events `{"type": …, "data": {…}}` whose data have the generic form."""

    def new_secret(self) -> str | None:
        return SYMMETRIC + base64.b64encode(random.token_bytes(SECRET_BYTES)).decode()

    def check_secret(self, secret: str) -> None:
        sizes = range(24, 65) if secret.startswith(SYMMETRIC) else (32,)
        if not secret.startswith((SYMMETRIC, PUBLIC)) or len(_key(secret)) not in sizes:
            raise InvalidInput(
                "The secret is none of Standard Webhooks.",
                field="/secret",
                fix="Give `whsec_` and 24 to 64 bytes in base64, or `whpk_` and an Ed25519 public key in base64.",
                code="invalid-secret",
            )

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> None:
        message_id, timestamp = _id(delivery), delivery.header("webhook-timestamp", "svix-timestamp")
        signed = b".".join([message_id.encode(), timestamp.encode(errors="replace"), delivery.body])
        given = list(_signatures(delivery.header("webhook-signature", "svix-signature")))
        if not any(_proves(secret, version, signature, signed) for secret in secrets for version, signature in given):
            raise wrong_signature("webhook-signature")
        if not _SECONDS.fullmatch(timestamp):
            raise NotFromSender("The timestamp is no Unix time.", field="webhook-timestamp", code="stale-timestamp")
        delivery.check_time(datetime.fromtimestamp(int(timestamp), UTC), field="webhook-timestamp")

    def read(self, delivery: Delivery, rules: Rules) -> Ask | Ignored:
        event = validated(_Event, parse(delivery.body))
        if event.type in (rules.erasure_types or ERASURE):
            operations = generic.erasure(event.data, rules, {}, at="/data")
        elif event.type == CORRECTION:
            operations = generic.correction(event.data, at="/data")
        else:
            return Ignored("The event's type asks for nothing here.")
        message_id = _id(delivery)
        return generic.ask(event.data, operations, rules, key=message_id, reference=message_id, at="/data")


def _id(delivery: Delivery) -> str:
    message_id = delivery.header("webhook-id", "svix-id")
    if not _ID.fullmatch(message_id):
        raise NotFromSender("The id of the delivery is malformed.", field="webhook-id", fix="Send a unique id.")
    return message_id


def _signatures(header: str) -> Iterator[tuple[str, bytes]]:
    """What can be read of the list; unknown versions are for others."""
    for one in header.split(" ")[:MAX_SIGNATURES]:
        version, _, code = one.partition(",")
        try:
            yield version, base64.b64decode(code, validate=True)
        except (binascii.Error, ValueError):
            continue


def _proves(secret: str, version: str, signature: bytes, signed: bytes) -> bool:
    if secret.startswith(SYMMETRIC):
        return version == "v1" and matches_any(signature, [hmac.digest(_key(secret), signed, "sha256")])
    if version != "v1a":
        return False
    try:
        Ed25519PublicKey.from_public_bytes(_key(secret)).verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _key(secret: str) -> bytes:
    """The bytes behind the prefix; none if they are not base64. Padding may be missing."""
    code = secret.removeprefix(SYMMETRIC).removeprefix(PUBLIC)
    try:
        return base64.b64decode(code + "=" * (-len(code) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
