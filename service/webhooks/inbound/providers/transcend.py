"""Transcend: a JSON Web Token, signed with ES384 by the customer's Sombra gateway, in `x-sombra-token`.

The token proves who calls and when, not what is in the body: that rests on TLS. A job is known by its nonce and its
body.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field

from service.domain.errors import InvalidInput, NotFromSender
from service.domain.subjects import Identity, SubjectKind
from service.flows.file_ask import Ask
from service.webhooks.inbound.delivery import Delivery, wrong_signature
from service.webhooks.inbound.generic import Reference
from service.webhooks.inbound.identities import as_text, forget, identity
from service.webhooks.inbound.payload import parse, validated
from service.webhooks.inbound.provider import Ignored, Rules

TOKEN, NONCE = "x-sombra-token", "x-transcend-nonce"
ERASURE = frozenset({"ERASURE"})
KINDS: Mapping[str, SubjectKind] = {
    "email": SubjectKind.email,
    "phone": SubjectKind.phone,
    "userId": SubjectKind.user_id,
    "customerId": SubjectKind.customer_id,
}
# ECDSA on P-384: two integers of 48 bytes (RFC 7518, section 3.4).
_INTEGER_BYTES = 48
# In Unix time; the calendar ends later.
_LATEST = 2**37


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: Reference | None = None


class _Profile(BaseModel):
    model_config = ConfigDict(frozen=True)

    identifier: str | int
    type: str | None = None


class _Extras(BaseModel):
    model_config = ConfigDict(frozen=True)

    profile: _Profile | None = None
    request: _Request = _Request()


class _CoreIdentifier(BaseModel):
    model_config = ConfigDict(frozen=True)

    value: str | int
    name: str | None = None


class _Job(BaseModel):
    model_config = ConfigDict(frozen=True)

    type: str
    core_identifier: _CoreIdentifier = Field(alias="coreIdentifier")
    extras: _Extras = _Extras()


class Transcend:
    """One job for every identifier of a person."""

    def new_secret(self) -> str | None:
        return None

    def check_secret(self, secret: str) -> None:
        try:
            key = load_pem_public_key(secret.encode())
        except ValueError:
            key = None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
            raise InvalidInput(
                "This is no public key on P-384 in PEM.",
                field="/secret",
                fix="Copy the public key of your Sombra gateway.",
                code="invalid-secret",
            )

    def verify(self, delivery: Delivery, secrets: Sequence[str]) -> None:
        told = (_claims(delivery.header(TOKEN), secret) for secret in secrets)
        claims = next((one for one in told if one is not None), None)
        if claims is None:
            raise wrong_signature(TOKEN)
        moments = [claims[name] for name in ("iat", "exp") if name in claims]
        if not moments or not all(_is_moment(moment) for moment in moments):
            raise NotFromSender("The token has no time.", field=TOKEN, fix="Send `iat`.", code="stale-timestamp")
        if "iat" in claims:
            delivery.check_time(datetime.fromtimestamp(claims["iat"], UTC), field=TOKEN)
        if claims.get("exp", _LATEST) < delivery.at.timestamp():
            raise NotFromSender("The token has expired.", field=TOKEN, fix="Send a new one.", code="stale-timestamp")
        delivery.header(NONCE)

    def read(self, delivery: Delivery, rules: Rules) -> Ask | Ignored:
        job = validated(_Job, parse(delivery.body))
        if job.type not in (rules.erasure_types or ERASURE):
            return Ignored("The type of the job asks for nothing here.")
        told = hashlib.sha256(delivery.header(NONCE).encode() + b"\0" + delivery.body).hexdigest()
        request = job.extras.request.id
        return Ask(
            key=told,
            operations=(forget(_identities(job, rules), at="/coreIdentifier"),),
            reference=None if request is None else f"{request}:{told[:12]}",
            regulation=rules.regulation,
        )


def _identities(job: _Job, rules: Rules) -> tuple[Identity, ...]:
    core, profile = job.core_identifier, job.extras.profile
    found = [identity({"value": as_text(core.value)}, core.name, rules, KINDS, at="/coreIdentifier/name")]
    if profile is not None:
        value = {"value": as_text(profile.identifier)}
        found.append(identity(value, profile.type, rules, KINDS, at="/extras/profile/type"))
    return tuple(found)


def _claims(token: str, secret: str) -> Mapping[str, Any] | None:
    """What a token says, if this key signed it (RFC 7515, section 5.2); no other algorithm is looked at."""
    key = load_pem_public_key(secret.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey), "see check_secret"
    try:
        header, payload, code = token.split(".")
        signature = _decoded(code)
        if json.loads(_decoded(header)).get("alg") != "ES384" or len(signature) != 2 * _INTEGER_BYTES:
            return None
        r, s = (int.from_bytes(part) for part in (signature[:_INTEGER_BYTES], signature[_INTEGER_BYTES:]))
        key.verify(encode_dss_signature(r, s), f"{header}.{payload}".encode(), ec.ECDSA(SHA384()))
        claims = json.loads(_decoded(payload))
    except (ValueError, AttributeError, RecursionError, InvalidSignature):
        return None
    return claims if isinstance(claims, dict) else None


def _is_moment(moment: object) -> bool:
    return isinstance(moment, int | float) and not isinstance(moment, bool) and 0 <= moment < _LATEST


def _decoded(code: str) -> bytes:
    """Base64url without padding. Raises ValueError."""
    try:
        return base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("this is no base64url") from error
