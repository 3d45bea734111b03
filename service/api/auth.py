"""Who calls: a bearer API key, looked up by its keyed hash on every call, so that revoking works at once."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.context import InContext
from service.api.scopes import SCOPE_OF
from service.domain.errors import Forbidden, Unauthenticated
from service.domain.scopes import Scope
from service.store.database import Unit
from service.store.tables import ApiKey

_bearer = HTTPBearer(auto_error=False, scheme_name="api_key", description="An API key: `lethe_…`.")


@dataclass(frozen=True, slots=True)
class Actor:
    """The key behind a call. `lines`: names of the adapter lines it is bound to; None for all."""

    id: str
    scopes: frozenset[Scope]
    lines: frozenset[str] | None

    def sees(self, line: str) -> bool:
        return self.lines is None or line in self.lines


def authenticate(
    request: Request,
    context: InContext,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Actor:
    """The actor, if its key is valid and holds the scope that the operation asks for.

    Raises:
        Unauthenticated: no key, or one that is unknown, expired or revoked.
        Forbidden: the key lacks the operation's scope, or nobody has the operation.
    """
    if credentials is None:
        raise Unauthenticated("The call carries no API key.", fix="Send `Authorization: Bearer <key>`.")
    with context.store.read() as unit:
        key = unit.access.key_by_hash(context.vault.hashes.api_key(credentials.credentials))
        actor = _actor(unit, key)
    needed = SCOPE_OF.get(request.scope["route"].name)
    if needed is None or needed not in actor.scopes:
        raise Forbidden(
            "The key lacks the scope of this call.",
            fix="Use a key that holds it.",
            code="missing-scope",
            extra={"scope": needed},
        )
    return actor


def _actor(unit: Unit, key: ApiKey | None) -> Actor:
    if key is None or key.revoked_at is not None:
        raise Unauthenticated("The API key is unknown or revoked.", fix="Use another key.")
    if key.expires_at is not None and key.expires_at <= unit.now:
        raise Unauthenticated("The API key has expired.", fix="Use another key.", code="key-expired")
    lines = None if key.lines is None else frozenset(key.lines)
    return Actor(key.id, frozenset(map(Scope, key.scopes)), lines)


Caller = Annotated[Actor, Depends(authenticate)]
