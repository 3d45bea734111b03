"""Segment: a hexadecimal HMAC-SHA1 of the body in `X-Signature`.

In a batch Segment signs only the first event, so batches do not verify and must be switched off at the sender.
"""

import hmac
import secrets as random
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from service.domain.clocks import Moment
from service.domain.errors import InvalidInput
from service.domain.subjects import SubjectKind
from service.flows.file_ask import Ask
from service.webhooks.inbound.delivery import Delivery, matches_any, wrong_signature
from service.webhooks.inbound.generic import Reference
from service.webhooks.inbound.identities import forget, members
from service.webhooks.inbound.payload import parse, validated
from service.webhooks.inbound.provider import Ignored, Rules

SIGNATURE = "x-signature"
KINDS: Mapping[str, SubjectKind] = {"userId": SubjectKind.user_id, "anonymousId": SubjectKind.device_id}
ERASURE = frozenset({"delete"})
SECRET_BYTES = 32
MIN_LENGTH = 16


class _Event(BaseModel):
    """`event`: the name of a `track` call, by which custom deletion events are told."""

    model_config = ConfigDict(frozen=True)

    type: str
    event: str | None = None
    message_id: Reference = Field(alias="messageId")
    timestamp: Moment | None = None


class Segment:
    """Events of the type `delete`, or of types and `track` names that the endpoint lists."""

    def new_secret(self) -> str | None:
        return random.token_hex(SECRET_BYTES)

    def check_secret(self, secret: str) -> None:
        if len(secret) < MIN_LENGTH or not secret.isascii():
            raise InvalidInput(
                "The shared secret is too short, or not ASCII.",
                field="/secret",
                fix=f"Give at least {MIN_LENGTH} random characters, or none to have one made.",
                code="invalid-secret",
            )

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> None:
        given = delivery.header(SIGNATURE).lower().encode()
        expected = [hmac.new(secret.encode(), delivery.body, "sha1").hexdigest().encode() for secret in secrets]
        if not matches_any(given, expected):
            raise wrong_signature(SIGNATURE)

    def read(self, delivery: Delivery, rules: Rules) -> Ask | Ignored:
        payload = parse(delivery.body)
        event = validated(_Event, payload)
        if not {event.type, event.event} & (rules.erasure_types or ERASURE):
            return Ignored("The event asks for nothing here.")
        return Ask(
            key=event.message_id,
            operations=(forget(members(payload, rules, KINDS, at=""), at=""),),
            reference=event.message_id,
            regulation=rules.regulation,
            received_at=event.timestamp,
        )
