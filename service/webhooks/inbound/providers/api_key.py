"""Senders that sign nothing and send a key: the generic form as the whole body."""

import secrets as random
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from service.domain.errors import InvalidInput
from service.flows.file_ask import Ask
from service.webhooks.inbound import generic
from service.webhooks.inbound.delivery import Delivery, matches_any, wrong_signature
from service.webhooks.inbound.payload import parse, validated
from service.webhooks.inbound.provider import Ignored, Rules

PREFIX = "lethe_in_"
SECRET_BYTES = 32
MIN_LENGTH = 24
ERASURE = frozenset({"erase", "delete"})
CORRECTION = "correct"


class _Order(BaseModel):
    model_config = ConfigDict(frozen=True)

    operation: str


class SharedKey:
    """The key comes in `X-API-Key` or as a bearer token. The delivery is told by its body, for nothing is signed."""

    def new_secret(self) -> str | None:
        return PREFIX + random.token_urlsafe(SECRET_BYTES)

    def check_secret(self, secret: str) -> None:
        if len(secret) < MIN_LENGTH or not secret.isascii() or not secret.isprintable() or " " in secret:
            raise InvalidInput(
                "The key is too short, or not printable ASCII without spaces.",
                field="/secret",
                fix=f"Give at least {MIN_LENGTH} random characters, or none to have one made.",
                code="invalid-secret",
            )

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> None:
        given = delivery.header("x-api-key", "authorization").removeprefix("Bearer ")
        if not matches_any(given.encode(), [secret.encode() for secret in secrets]):
            raise wrong_signature("x-api-key")

    def read(self, delivery: Delivery, rules: Rules) -> Ask | Ignored:
        payload = parse(delivery.body)
        operation = validated(_Order, payload).operation
        if operation in (rules.erasure_types or ERASURE):
            operations = generic.erasure(payload, rules, {}, at="")
        elif operation == CORRECTION:
            operations = generic.correction(payload, at="")
        else:
            return Ignored("The operation asks for nothing here.")
        return generic.ask(payload, operations, rules, key=None, reference=None, at="")
