"""The feed, the audit chain, keys, and whether the service is well."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from service.client.answers.common import Page
from service.client.answers.operations import (
    ApiKey,
    AuditHead,
    AuditRow,
    EventPage,
    Live,
    NewApiKey,
    Ready,
    RotatedApiKey,
    ServiceVersion,
    SigningKey,
)
from service.client.call import Call, Every, Json, One, document, new_key, nothing, path, text
from service.domain.signing import KeyPurpose, RevocationReason

ANY = {"Accept": "*/*"}
AUDIT, KEYS, SIGNING_KEYS = "/v1/audit", "/v1/keys", "/v1/signing-keys"


def list_events(
    *,
    adapter: str | None = None,
    request: str | None = None,
    run: str | None = None,
    start: Literal["beginning", "now"] | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[EventPage]:
    """A page of the feed of everything that happens, oldest first. `start` counts where there is no cursor."""
    params = {
        "adapter": adapter,
        "request": request,
        "run": run,
        "start": start,
        "cursor": cursor,
        "limit": limit,
    }
    return Call("GET", "/v1/events", One(EventPage), params=params)


def export_audit(*, cursor: str | None = None, limit: int | None = None) -> Call[Page[AuditRow]]:
    """The audit chain, oldest row first."""
    return Call("GET", AUDIT, One(Page[AuditRow]), params={"cursor": cursor, "limit": limit})


def export_audit_lines() -> Call[None]:
    """The whole audit chain, one row a line as JSON, and its signed head as the last line. To be streamed."""
    return Call("GET", AUDIT, nothing, headers={"Accept": "application/x-ndjson"})


def get_audit_head() -> Call[AuditHead]:
    """The newest row of the audit chain, signed."""
    return Call("GET", f"{AUDIT}/head", One(AuditHead))


def create_key(
    name: str,
    scopes: Sequence[str],
    *,
    lines: Sequence[str] | None = None,
    expires_at: datetime | None = None,
    idempotency_key: str | None = None,
) -> Call[NewApiKey]:
    """Make an API key, bound to `lines` if they are given. It is shown once."""
    body: dict[str, Any] = {"name": name, "scopes": list(scopes), "lines": None if lines is None else list(lines)}
    body["expires_at"] = None if expires_at is None else expires_at.isoformat()
    return Call("POST", KEYS, One(NewApiKey), body=Json(body), idempotency_key=new_key(idempotency_key))


def list_keys(*, cursor: str | None = None, limit: int | None = None) -> Call[Page[ApiKey]]:
    """API keys, newest first, revoked ones too."""
    return Call("GET", KEYS, One(Page[ApiKey]), params={"cursor": cursor, "limit": limit})


def rotate_key(
    key_id: str, *, overlap_s: int | None = None, idempotency_key: str | None = None
) -> Call[RotatedApiKey]:
    """Give an API key another token, shown once; the one before works for `overlap_s`, by default a day, too."""
    body = Json({} if overlap_s is None else {"overlap_s": overlap_s})
    where = path(f"{KEYS}/{{key_id}}/rotate", key_id=key_id)
    return Call("POST", where, One(RotatedApiKey), body=body, idempotency_key=new_key(idempotency_key))


def delete_key(key_id: str) -> Call[None]:
    """Revoke an API key at once."""
    return Call("DELETE", path(f"{KEYS}/{{key_id}}", key_id=key_id), nothing)


def list_signing_keys() -> Call[list[SigningKey]]:
    """Signing keys, newest first, retired and revoked ones too."""
    return Call("GET", SIGNING_KEYS, Every(SigningKey))


def rotate_signing_key(
    purpose: KeyPurpose = KeyPurpose.statements, *, idempotency_key: str | None = None
) -> Call[SigningKey]:
    """Sign with a new key from now on."""
    body = Json({"purpose": purpose})
    where = f"{SIGNING_KEYS}/rotate"
    return Call("POST", where, One(SigningKey), body=body, idempotency_key=new_key(idempotency_key))


def revoke_signing_key(kid: str, reason: RevocationReason) -> Call[SigningKey]:
    """Publish that a key is not to be trusted any more."""
    where = path(f"{SIGNING_KEYS}/{{kid}}/revoke", kid=kid)
    return Call("POST", where, One(SigningKey), body=Json({"reason": reason}))


def get_jwks() -> Call[Mapping[str, Any]]:
    """The JSON Web Key Set that certificates verify with (`service.client.verify`)."""
    return Call("GET", "/.well-known/jwks.json", document)


def get_model_signing_key() -> Call[str]:
    """The public key that verifies the signatures of versions now, as PEM."""
    return Call("GET", "/.well-known/model-signing.pem", text, headers=ANY)


def get_livez() -> Call[Live]:
    """Whether the service answers."""
    return Call("GET", "/livez", One(Live))


def get_readyz() -> Call[Ready]:
    """Whether calls can be served; Unavailable is raised while they cannot."""
    return Call("GET", "/readyz", One(Ready))


def get_metrics() -> Call[str]:
    """Metrics in Prometheus' text format."""
    return Call("GET", "/metrics", text, headers=ANY)


def get_version_info() -> Call[ServiceVersion]:
    """Which version runs there."""
    return Call("GET", "/version", One(ServiceVersion))
