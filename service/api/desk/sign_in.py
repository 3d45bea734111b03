"""Signing in with an API key, and out."""

import re
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.api.auth import identify
from service.api.context import Context, InContext
from service.api.desk.forms import OpenFields, OwnFields
from service.api.desk.page import render, see
from service.api.desk.route import SIGN_IN, DeskRoute
from service.api.desk.visit import drop_session, session_token, set_session
from service.domain.errors import LetheError, Unauthenticated
from service.flows import desk_sessions

router = APIRouter(prefix="/desk", route_class=DeskRoute, include_in_schema=False)

PROVIDER = "/desk/sign-in/provider"
# Where signing in may lead: pages of the desk, and never another site.
_PAGE = re.compile(r"/|/desk/[A-Za-z0-9/._-]{0,200}")


@router.get("/sign-in")
def show_sign_in(request: Request, context: InContext, next: Annotated[str, Query(max_length=300)] = "/") -> Response:
    return form(request, context, next=page_of(next))


@router.post("/sign-in")
def sign_in(request: Request, context: InContext, fields: OpenFields) -> Response:
    target = page_of(fields.text("next") or "/")
    try:
        holder = _holder(context, fields.text("key") or "", request.client.host if request.client else None)
    except LetheError as error:
        return form(request, context, next=target, error=error)
    response = see(target)
    begin_session(request, response, context, holder)
    return response


def form(request: Request, context: Context, *, next: str, error: LetheError | None = None) -> Response:
    """The form, and the way to the identity provider if there is one. `error`: why it is shown again."""
    provider = None if context.code_flow is None else PROVIDER
    status = HTTPStatus.OK if error is None else error.status
    return render(request, "sign_in.html", status=status, next=next, error=error, provider=provider)


def begin_session(request: Request, response: Response, context: Context, holder: desk_sessions.Holder) -> None:
    """Sign in whoever proved to be the holder, in place of whom the browser was signed in as."""
    previous = session_token(request, context.settings)
    with context.store.write() as unit:
        if previous is not None:
            desk_sessions.sign_out(unit, context.vault, previous)
        token = desk_sessions.sign_in(unit, context.vault, holder)
    set_session(response, context.settings, token)


@router.post("/sign-out")
def sign_out(request: Request, context: InContext, _fields: OwnFields) -> Response:
    token = session_token(request, context.settings)
    with context.store.write() as unit:
        desk_sessions.sign_out(unit, context.vault, token or "")
    response = see(SIGN_IN)
    drop_session(response, context.settings)
    return response


def _holder(context: Context, key: str, address: str | None) -> desk_sessions.Holder:
    """Raises Unauthenticated, or TooManyCalls if too many wrong keys came from the address."""
    actor = identify(context, key, address=address)
    token_hash = context.vault.hashes.api_key(key)
    with context.store.read() as unit:
        found = unit.access.token(token_hash)
    if found is None:
        raise Unauthenticated("This is no API key.", fix="Sign in with an API key.", code="not-an-api-key")
    return desk_sessions.Holder(actor.id, found[1].name, actor.scopes, actor.lines, token_hash)


def page_of(path: str) -> str:
    """The page that signing in leads to: the one that was asked for, if it is one."""
    return path if _PAGE.fullmatch(path) and "//" not in path else "/"
