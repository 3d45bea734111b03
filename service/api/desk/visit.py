"""Who is at the desk: the session behind a page, and what it may do."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.responses import Response

from service.api.actor import Actor
from service.api.context import Context, InContext
from service.api.scopes import SCOPE_OF
from service.domain.errors import Forbidden, Unauthenticated
from service.flows.desk_sessions import LONGEST, holder_of
from service.settings import Settings

# The header with which a page that is open asks for itself anew: nobody need be looking at it.
REFRESH = "lethe-refresh"


class NotSignedIn(Unauthenticated):
    default_code = "not-signed-in"
    title = "Sign in first"


@dataclass(frozen=True, slots=True)
class Visit:
    """One look at the desk. `form_token`: what its forms have to carry."""

    context: Context
    actor: Actor
    name: str
    form_token: str

    def may(self, operation: str) -> bool:
        """Whether the actor's scopes allow an operation of the API."""
        return SCOPE_OF[operation] in self.actor.scopes and (self.actor.lines is None or operation not in FOR_UNBOUND)


# What concerns the whole deployment is not for keys that are bound to lines.
FOR_UNBOUND = frozenset(
    {"list_webhook_endpoints", "list_webhook_deliveries", "resend_webhook_delivery", "list_inbound_endpoints",
     "export_audit", "get_audit_head"}
)  # fmt: skip


def permitted(operation: str) -> Any:
    """The visit of somebody whose scopes allow the operation that a page stands for.

    Raises:
        NotSignedIn: there is no session, or it is over.
        Forbidden: its scopes do not allow it.
    """

    def visit(request: Request, context: InContext) -> Visit:
        return _permitted(_visit(request, context), operation)

    return Depends(visit)


def anyone_signed_in() -> Any:
    """The visit of somebody, whatever they may do. Raises NotSignedIn, or TooManyCalls as the API does."""
    return Depends(_visit)


def _visit(request: Request, context: InContext) -> Visit:
    token = session_token(request, context.settings)
    is_use = REFRESH not in request.headers
    holder = None if token is None else holder_of(context.store, context.vault, token, is_use=is_use)
    if token is None or holder is None:
        raise NotSignedIn("Nobody is signed in.", fix="Sign in again.")
    request.state.quotas = context.limits.admit(holder.actor_id, is_post=request.method == "POST")
    if holder.token_hash is not None:
        context.last_used.note(holder.actor_id)
    actor = Actor(holder.actor_id, holder.scopes, holder.lines)
    visit = Visit(context, actor, holder.name, context.vault.hashes.form_token(token))
    request.state.visit = visit
    return visit


def _permitted(visit: Visit, operation: str) -> Visit:
    if not visit.may(operation):
        raise Forbidden(
            "What you signed in with does not allow this.",
            fix=f"Sign in with a key that holds the scope {SCOPE_OF[operation]}"
            + (" and is not bound to lines." if operation in FOR_UNBOUND else "."),
            code="missing-scope",
        )
    return visit


def session_token(request: Request, settings: Settings) -> str | None:
    return request.cookies.get(_cookie_name(settings))


def set_session(response: Response, settings: Settings, token: str) -> None:
    """No other site can make a browser send it, no script can read it, and no subdomain can put one in its place."""
    response.set_cookie(
        _cookie_name(settings),
        token,
        max_age=int(LONGEST.total_seconds()),
        path="/",
        secure=is_https(settings),
        httponly=True,
        samesite="strict",
    )


def drop_session(response: Response, settings: Settings) -> None:
    response.delete_cookie(
        _cookie_name(settings), path="/", secure=is_https(settings), httponly=True, samesite="strict"
    )


def _cookie_name(settings: Settings) -> str:
    return "__Host-lethe-desk" if is_https(settings) else "lethe-desk"


def is_https(settings: Settings) -> bool:
    return urlsplit(settings.url).scheme == "https"
