"""Who calls: a bearer API key, or a token of the identity provider.

A key is looked up by its keyed hash on every call, so that revoking works at once. One that cannot be of ours, by its
form and checksum, is refused before the database is asked; the one of LETHE_ADMIN_KEY may have any form.
"""

import hmac
from collections.abc import Callable
from typing import Annotated, TypeAlias

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.actor import Actor
from service.api.context import Context, InContext
from service.api.oidc.provider import looks_like_jwt
from service.api.scopes import SCOPE_OF
from service.domain.errors import Forbidden, LetheError, Unauthenticated
from service.domain.scopes import Scope
from service.evidence.tokens import well_formed
from service.settings import Settings

Standing: TypeAlias = Callable[[], bool]
"""Whether what a call that lasts was made with is good now: not revoked, replaced or expired since."""

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="api_key",
    description="An API key (`lethe_…`), or a token of the deployment's identity provider (a JWT).",
)


def authenticate(
    request: Request,
    context: InContext,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Actor:
    """The actor, if it proves who it is, holds the scope that the operation asks for, and does not call too often.

    Raises:
        Unauthenticated: no key or token, or one that is not good.
        Forbidden: the actor lacks the operation's scope, or nobody has the operation.
        TooManyCalls: its limits, or those of wrong keys from its address, are reached.
        ProviderAway: a token cannot be verified now.
    """
    if credentials is None:
        raise Unauthenticated("The call carries no API key.", fix="Send `Authorization: Bearer <key>`.")
    actor = identify(context, credentials.credentials, address=request.client.host if request.client else None)
    request.state.quotas = context.limits.admit(actor.id, is_post=request.method == "POST")
    needed = SCOPE_OF.get(request.scope["route"].name)
    if needed is None or needed not in actor.scopes:
        raise Forbidden(
            "The key lacks the scope of this call.",
            fix="Use a key that holds it.",
            code="missing-scope",
            extra={"scope": needed},
        )
    return actor


def identify(context: Context, credential: str, *, address: str | None) -> Actor:
    """Whose a key or token is. Wrong ones are counted against the address that they come from.

    Raises:
        Unauthenticated: it is not good.
        Forbidden: it is, but nothing is granted to its holder.
        TooManyCalls: too many wrong ones came from the address.
        ProviderAway: a token cannot be verified now.
    """
    hashed = context.vault.hashes.api_key(credential)
    context.limits.check_address(address, hashed)
    try:
        actor = _actor(context, credential, hashed)
    except Unauthenticated:
        context.limits.failed(address, hashed)
        raise
    context.limits.proven(hashed)
    return actor


def _actor(context: Context, credential: str, hashed: str) -> Actor:
    if not _is_admin_key(context.settings, credential):
        if looks_like_jwt(credential):
            return _provided(context, credential)
        if not well_formed(credential):
            raise Unauthenticated(
                "This is no API key of this service: its form or checksum is wrong.",
                fix="Copy the key whole.",
                code="malformed-key",
            )
    return _key_holder(context, hashed)


def _is_admin_key(settings: Settings, credential: str) -> bool:
    given = settings.admin_key
    return given is not None and hmac.compare_digest(given.get_secret_value().encode(), credential.encode())


def _provided(context: Context, token: str) -> Actor:
    if context.provider is None:
        raise Unauthenticated(
            "No identity provider is set up here.", fix="Use an API key, or set LETHE_OIDC_ISSUER.", code="oidc-off"
        )
    return context.provider.actor(token)


def _key_holder(context: Context, hashed: str) -> Actor:
    with context.store.read() as unit:
        found = unit.access.token(hashed)
        if found is None or found[1].revoked_at is not None:
            raise Unauthenticated("The API key is unknown or revoked.", fix="Use another key.")
        token, key = found
        if key.expires_at is not None and key.expires_at <= unit.now:
            raise Unauthenticated("The API key has expired.", fix="Use another key.", code="key-expired")
        if token.expires_at is not None and token.expires_at <= unit.now:
            raise Unauthenticated("The API key was replaced.", fix="Use its successor.", code="key-replaced")
    context.last_used.note(key.id)
    lines = None if key.lines is None else frozenset(key.lines)
    return Actor(key.id, frozenset(map(Scope, key.scopes)), lines)


def _standing(
    context: InContext, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Standing:
    def is_good() -> bool:
        if credentials is None:
            return False
        try:
            _actor(context, credentials.credentials, context.vault.hashes.api_key(credentials.credentials))
        except LetheError:
            return False
        return True

    return is_good


Caller = Annotated[Actor, Depends(authenticate)]
InStanding = Annotated[Standing, Depends(_standing)]
