"""Shopify's mandatory compliance webhooks: a base64 HMAC-SHA256 of the body, and nothing else that is signed.

So neither the topic nor the id of the webhook, which are headers, decide anything on their own: the body says by its
members what it is, and the body is what a repetition is known by.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from service.domain.errors import InvalidInput
from service.domain.subjects import SubjectKind
from service.flows.file_ask import Ask
from service.webhooks.inbound.delivery import Delivery, matches_any, wrong_signature
from service.webhooks.inbound.identities import forget, identity, members
from service.webhooks.inbound.payload import parse, validated
from service.webhooks.inbound.provider import Ignored, Rules

SIGNATURE, TOPIC = "x-shopify-hmac-sha256", "x-shopify-topic"
CUSTOMER: Mapping[str, SubjectKind] = {
    "id": SubjectKind.customer_id,
    "email": SubjectKind.email,
    "phone": SubjectKind.phone,
}
SHOP: Mapping[str, SubjectKind] = {"shop_domain": SubjectKind.account_id}
MIN_LENGTH = 16


class _Redaction(BaseModel):
    model_config = ConfigDict(frozen=True)

    customer: dict[str, Any]


class Shopify:
    """`customers/redact` forgets the customer, `shop/redact` the account that is the shop."""

    def new_secret(self) -> str | None:
        return None

    def check_secret(self, secret: str) -> None:
        if len(secret) < MIN_LENGTH or not secret.isascii():
            raise InvalidInput(
                "This is no client secret of a Shopify app.",
                field="/secret",
                fix="Copy it from the app's settings.",
                code="invalid-secret",
            )

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> None:
        try:
            given = base64.b64decode(delivery.header(SIGNATURE), validate=True)
        except (binascii.Error, ValueError):
            raise wrong_signature(SIGNATURE) from None
        if not matches_any(given, [hmac.digest(secret.encode(), delivery.body, "sha256") for secret in secrets]):
            raise wrong_signature(SIGNATURE)

    def read(self, delivery: Delivery, rules: Rules) -> Ask | Ignored:
        payload = parse(delivery.body)
        topic = delivery.headers.get(TOPIC)
        if topic == "customers/redact" and "orders_to_redact" in payload:
            customer = validated(_Redaction, payload).customer
            identities = members(customer, rules, CUSTOMER, at="/customer")
        elif topic == "shop/redact" and "customer" not in payload:
            shop = {"value": payload.get("shop_domain")}
            identities = (identity(shop, "shop_domain", rules, SHOP, at="/shop_domain"),)
        else:
            return Ignored("The topic asks for nothing here.")
        return Ask(
            key=hashlib.sha256(delivery.body).hexdigest(),
            operations=(forget(identities, at=""),),
            regulation=rules.regulation,
        )
