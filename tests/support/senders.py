"""Privacy platforms as they send: their own libraries sign where there are any."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import standardwebhooks
import svix.webhooks
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NO_AGE = timedelta(0)
SYMMETRIC = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SHARED = "a-shared-secret-of-both-sides"


@dataclass(frozen=True)
class Sent:
    """A delivery as it leaves a sender."""

    headers: Mapping[str, str]
    body: bytes

    def with_body(self, body: bytes) -> "Sent":
        return Sent(self.headers, body)

    def without(self, header: str) -> "Sent":
        return Sent({name: value for name, value in self.headers.items() if name != header}, self.body)

    def with_header(self, header: str, value: str) -> "Sent":
        return Sent({**self.headers, header: value}, self.body)


def encoded(payload: object) -> bytes:
    return payload if isinstance(payload, bytes) else json.dumps(payload).encode()


def erasure(subject: object = "Person 1", **data: object) -> dict[str, object]:
    """An event in the generic form."""
    return {"type": "erasure.requested", "data": {"subject": subject, **data}}


def standard(payload: object, secret: str = SYMMETRIC, *, id_: str | None = None, age: timedelta = NO_AGE) -> Sent:
    """Signed by the reference implementation of Standard Webhooks."""
    return _symmetric(standardwebhooks.Webhook(secret), "webhook", payload, id_, age)


def by_svix(payload: object, secret: str = SYMMETRIC, *, id_: str | None = None, age: timedelta = NO_AGE) -> Sent:
    """Signed by Svix's library."""
    return _symmetric(svix.webhooks.Webhook(secret), "svix", payload, id_, age)


def _symmetric(
    signer: standardwebhooks.Webhook | svix.webhooks.Webhook,
    prefix: str,
    payload: object,
    id_: str | None,
    age: timedelta,
) -> Sent:
    body, moment, name = encoded(payload), datetime.now(UTC) - age, id_ or f"msg_{uuid4().hex}"
    signature = signer.sign(name, moment, body.decode())
    times = {f"{prefix}-id": name, f"{prefix}-timestamp": str(int(moment.timestamp()))}
    return Sent({**times, f"{prefix}-signature": signature, "content-type": "application/json"}, body)


class Asymmetric:
    """A sender of Standard Webhooks with an Ed25519 key, which the reference implementation in Python lacks."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.secret = "whpk_" + base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, payload: object, *, id_: str | None = None) -> Sent:
        body, name, moment = encoded(payload), id_ or f"msg_{uuid4().hex}", str(int(datetime.now(UTC).timestamp()))
        signature = self._key.sign(f"{name}.{moment}.".encode() + body)
        proof = f"v1a,{base64.b64encode(signature).decode()}"
        return Sent({"webhook-id": name, "webhook-timestamp": moment, "webhook-signature": proof}, body)


class Sombra:
    """Transcend's gateway: PyJWT makes its tokens."""

    def __init__(self, curve: ec.EllipticCurve | None = None) -> None:
        self.key = ec.generate_private_key(curve or ec.SECP384R1())
        public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.secret = public.decode()

    def sign(self, payload: object, *, nonce: str = "nonce-1", age: timedelta = NO_AGE, **claims: object) -> Sent:
        token = jwt.encode({"iat": datetime.now(UTC) - age, **claims}, self.key, algorithm="ES384")
        return Sent({"x-sombra-token": token, "x-transcend-nonce": nonce}, encoded(payload))


def transcend_job(value: str = "Person 1", kind: str | None = None, **members: object) -> dict[str, object]:
    """A job as Transcend's documentation has it."""
    profile = {} if kind is None else {"profile": {"identifier": value, "type": kind}}
    extras = {"request": {"id": "8f2c3b1e-9c7c-4e62-9c19-8f4f0a3c4b1d"}, **profile}
    return {"type": "ERASURE", "coreIdentifier": {"value": value}, "extras": extras, **members}


def shopify(payload: object, secret: str = SHARED, *, topic: str = "customers/redact") -> Sent:
    body = encoded(payload)
    proof = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    return Sent({"x-shopify-hmac-sha256": proof, "x-shopify-topic": topic, "x-shopify-webhook-id": str(uuid4())}, body)


def shopify_redaction(**customer: object) -> dict[str, object]:
    return {
        "shop_id": 954889,
        "shop_domain": "snowdevil.example",
        "customer": customer,
        "orders_to_redact": [299938, 280263],
    }


def segment(payload: object, secret: str = SHARED) -> Sent:
    body = encoded(payload)
    return Sent({"x-signature": hmac.new(secret.encode(), body, "sha1").hexdigest()}, body)


def segment_deletion(user: str = "Person 1", **members: object) -> dict[str, object]:
    event = {"type": "delete", "userId": user, "messageId": f"segment-{uuid4().hex}"}
    return {**event, "timestamp": "2026-01-05T12:00:00Z", **members}


def with_key(payload: object, secret: str = SHARED) -> Sent:
    return Sent({"x-api-key": secret}, encoded(payload))
