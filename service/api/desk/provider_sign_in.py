"""Signing in at the identity provider, and coming back from there."""

import base64
import binascii
import json
from dataclasses import astuple
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.api.context import Context, InContext
from service.api.desk.page import refusal, render, see
from service.api.desk.route import DeskRoute
from service.api.desk.sign_in import PROVIDER, begin_session, form, page_of
from service.api.desk.visit import is_https
from service.api.oidc.code_flow import PATIENCE_S, Attempt, CodeFlow, SignInFailed
from service.domain.errors import Corrupted, LetheError, NotFound
from service.evidence.sealing import Sealed
from service.flows.desk_sessions import Holder

_SEALED_FOR = "desk sign-in"
_KEY_BYTES = 61
# Of the pseudonym, on the pages of the person itself: the provider's name of it is not kept.
_SHOWN = 13

router = APIRouter(prefix=PROVIDER, route_class=DeskRoute, include_in_schema=False)


@router.get("")
def go_to_provider(
    request: Request, context: InContext, next: Annotated[str, Query(max_length=300)] = "/"
) -> Response:
    try:
        url, attempt = _flow(context).begin(page_of(next))
    except LetheError as error:
        return refusal(request, error)
    response = see(url)
    # `lax`, for it has to come with the browser from the provider's pages.
    response.set_cookie(
        _cookie_name(context), _kept(context, attempt), max_age=PATIENCE_S, path="/",
        secure=is_https(context.settings), httponly=True, samesite="lax",
    )  # fmt: skip
    return response


@router.get("/callback")
def come_back(request: Request, context: InContext) -> Response:
    """Begin a session, and go on by a page: the cookie would not come with a redirect that another site began."""
    try:
        attempt = _attempt(context, request.cookies.get(_cookie_name(context), ""))
        actor = _flow(context).finish(request.url.query, attempt)
    except LetheError as error:
        response = form(request, context, next="/", error=error)
    else:
        response = render(request, "signed_in.html", next=page_of(attempt.target))
        name = f"{actor.id[:_SHOWN]}…"
        begin_session(request, response, context, Holder(actor.id, name, actor.scopes, actor.lines))
    response.delete_cookie(
        _cookie_name(context), path="/", secure=is_https(context.settings), httponly=True, samesite="lax"
    )
    return response


def _flow(context: Context) -> CodeFlow:
    if context.code_flow is None:
        raise NotFound(
            "Nobody signs in at an identity provider here.",
            fix="Use an API key, or set LETHE_OIDC_CLIENT_ID.",
            code="oidc-off",
        )
    return context.code_flow


def _cookie_name(context: Context) -> str:
    return "__Host-lethe-attempt" if is_https(context.settings) else "lethe-attempt"


def _kept(context: Context, attempt: Attempt) -> str:
    """The attempt, sealed: the verifier is not for other people's eyes, and the target not for their hands."""
    sealed = context.vault.sealer.seal(json.dumps(astuple(attempt)).encode(), context=_SEALED_FOR)
    return base64.urlsafe_b64encode((sealed.wrapped_key or b"") + sealed.ciphertext).decode()


def _attempt(context: Context, kept: str) -> Attempt:
    """Raises SignInFailed: this is no attempt of ours."""
    try:
        data = base64.b64decode(kept.encode("ascii"), altchars=b"-_", validate=True)
        sealed = Sealed(data[_KEY_BYTES:], data[:_KEY_BYTES])
        return Attempt(*json.loads(context.vault.sealer.unseal(sealed, context=_SEALED_FOR)))
    except (UnicodeEncodeError, binascii.Error, Corrupted):
        raise SignInFailed("It was not begun in this browser.", fix="Sign in once more.") from None
