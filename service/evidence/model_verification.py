"""Verify the OpenSSF model signature of a version with published keys, offline.

Nothing of the payload is read before a signature of a published key holds. A bundle bears no date that anybody vouches
for, so a revoked key vouches for nothing here, whatever the reason of its revocation.
"""

import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from service.domain.errors import Corrupted, InvalidInput
from service.evidence import dsse
from service.evidence.keys import STATEMENT_TYPE
from service.evidence.model_keys import public_key
from service.evidence.model_signature import BUNDLE, MODEL_SIGNATURE
from service.evidence.statements import STATEMENT

ModelKeys = tuple[ec.EllipticCurvePublicKey, ...]


def read_model_keys(document: object) -> ModelKeys:
    """The keys of a JSON Web Key Set that sign versions (ECDSA on P-256), without the revoked ones.

    Raises:
        InvalidInput: this is no key set, a key is malformed, or there is none that signs versions.
    """
    try:
        listed = document["keys"]  # type: ignore[index]
        keys = tuple(
            public_key(jwk) for jwk in listed if jwk.get("crv") == "P-256" and not jwk.get("lethe_revoked_at")
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        keys = ()
    if not keys:
        raise InvalidInput(
            "This is no JSON Web Key Set with a key that signs versions.",
            fix="Take the one that the service publishes at /.well-known/jwks.json.",
            code="not-a-key-set",
        )
    return keys


def verify_model_signature(bundle: bytes, keys: ModelKeys, name: str) -> Mapping[str, str]:
    """SHA-256, in hex, of each file that the signature vouches for, by its path.

    Args:
        name: the version that the signature has to be of, as `support-bot@v3`.

    Raises:
        Corrupted: this is no bundle, no trusted key made it, or it vouches for another version.
    """
    try:
        envelope = json.loads(bundle)["dsseEnvelope"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Corrupted(f"This is no {BUNDLE}.", code="not-a-bundle") from None
    parsed = dsse.parse(envelope, payload_type=STATEMENT_TYPE)
    if not any(_holds(key, signature, parsed.message) for key in keys for _, signature in parsed.signatures):
        raise Corrupted("No trusted key has signed this version.", code="bad-signature")
    return _files(json.loads(parsed.payload), name)


def _files(statement: Mapping[str, Any], name: str) -> Mapping[str, str]:
    match statement:
        case {
            "_type": kind,
            "predicateType": predicate,
            "subject": [{"name": signed}],
            "predicate": {"resources": list(resources)},
        } if (kind, predicate) == (STATEMENT, MODEL_SIGNATURE):
            if signed != name:
                raise Corrupted("The signature is another version's.", code="wrong-version")
            return {str(one["name"]): str(one["digest"]) for one in resources}
    raise Corrupted("The signed payload is no model signature.", code="unknown-statement")


def _holds(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
