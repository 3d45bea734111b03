"""Every refusal as a problem document (RFC 9457). One shape for all routes; submitted text is never echoed."""

import logging
import re
from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Any, TypeAlias

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, OperationalError, TimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from service.api.errors import DatabaseAway, HttpError, Malformed, UnsupportedMediaType
from service.domain.errors import InvalidInput, LetheError, TooLarge, Unauthenticated

MEDIA_TYPE = "application/problem+json"
MAX_LISTED_ERRORS = 20
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")

Responses: TypeAlias = dict[int | str, dict[str, Any]]

logger = logging.getLogger(__name__)

_HARMLESS_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,40}")
_TITLES = {404: ("unknown-route", "There is no such route"), 405: ("method-not-allowed", "Method not allowed")}


def problems(*statuses: int) -> Responses:
    """The `responses` of a route that may end with these problem statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": MEANINGS[status], "content": content} for status in sorted(statuses)}


MEANINGS = {
    400: "The call is malformed.",
    401: "The API key is missing, unknown, expired or revoked, or the token of the identity provider is not good.",
    403: "The caller may not do this.",
    404: "There is no such thing, or the key is not bound to it.",
    409: "The present state forbids this.",
    410: "Withdrawn.",
    412: "The precondition does not hold.",
    413: "The body is too large.",
    415: "The media type is not accepted here.",
    416: "The range lies outside the file.",
    422: "The input cannot be accepted; `field` points at the culprit.",
    429: "Too many calls; `Retry-After` says how long to wait.",
    500: "Something unexpected; `id` finds it in the log.",
    503: "The database is away; repeat the call.",
}


def install(app: FastAPI) -> None:
    """Register a handler for everything that can be raised."""
    app.add_exception_handler(LetheError, _on_lethe_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(OperationalError, _on_database_away)
    app.add_exception_handler(TimeoutError, _on_database_away)
    app.add_exception_handler(DataError, _on_unstorable)
    app.add_exception_handler(ClientDisconnect, _on_broken_off)
    app.add_exception_handler(Exception, _on_unexpected)


def problem(error: LetheError) -> JSONResponse:
    """The problem document of an error."""
    headers = dict(error.headers) if isinstance(error, HttpError) else {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = error.challenge
    members = {"detail": error.detail, "field": error.field, "fix": error.fix, **error.extra}
    return _document(error.status, error.code, error.title, members, headers)


def _document(
    status: int, code: str, title: str, members: Mapping[str, object], headers: Mapping[str, str]
) -> JSONResponse:
    content = {"type": f"urn:lethe:problem:{code}", "title": title, "status": status, "code": code}
    optional = {name: value for name, value in members.items() if value is not None or name not in ("field", "fix")}
    return JSONResponse({**content, **optional}, status, dict(headers), media_type=MEDIA_TYPE)


def _on_lethe_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LetheError)
    if error.status >= 500:
        logger.error("%s: %s", error.code, error.detail)
    return problem(error)


def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses by itself: unknown routes, wrong methods, bodies that break off."""
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, LetheError):
        return problem(error.__cause__)
    if error.status_code in _TITLES:
        code, title = _TITLES[error.status_code]
        headers = {"Allow": ", ".join(_allowed(request))} if error.status_code == 405 else {}
        return _document(error.status_code, code, title, {"detail": f"{title}."}, headers)
    return problem(Malformed("The body cannot be read.", fix="Check it against its Content-Type."))


def _allowed(request: Request) -> list[str]:
    """The methods that the path has on any of its routes; the framework names those of the first one only."""
    routes = request.app.routes
    asked = ({**request.scope, "method": method} for method in METHODS)
    return [scope["method"] for scope in asked if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def _on_invalid_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes):
        return problem(
            UnsupportedMediaType("The body is not declared as JSON.", fix="Send `Content-Type: application/json`.")
        )
    return problem(as_lethe_error(error.errors(), error.body))


def as_lethe_error(errors: Sequence[Mapping[str, Any]], body: object) -> LetheError:
    """Pydantic's findings as one error, without what was submitted. `body`: the parsed JSON they refer to."""
    if errors[0]["type"] == "json_invalid":
        return Malformed("The body is not valid JSON.", fix="Send JSON in UTF-8.", code="malformed-json")
    found = [{"field": _place(error, body), "message": _message(error)} for error in errors[:MAX_LISTED_ERRORS]]
    more = len(errors) - 1
    return InvalidInput(
        found[0]["message"] + (f" {more} more like it are in `errors`." if more else ""),
        field=found[0]["field"],
        fix="Compare the body with the schema in /openapi.json.",
        extra={"errors": found},
    )


def _message(error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "union_tag_invalid":
        return f"The member {context['discriminator']} must be one of {context['expected_tags']}."
    if kind == "extra_forbidden":
        return "This member is not known here."
    return str(error["msg"]).removeprefix("Value error, ").rstrip(".") + "."


def _place(error: Mapping[str, Any], body: object) -> str:
    """A JSON pointer into the body, or the name of a parameter."""
    where, *parts = error["loc"]
    if where != "body":
        return str(parts[-1]) if parts else str(where)
    return "/" + "/".join(_pointer(parts, body, is_absent=error["type"] == "missing"))


def _pointer(parts: Sequence[str | int], body: object, *, is_absent: bool) -> list[str]:
    """The parts that exist in the body: pydantic adds the tags of unions, which are no members.

    A name that the client made up is left out unless it is harmless.
    """
    pointer: list[str] = []
    for position, part in enumerate(parts):
        is_last = position == len(parts) - 1
        try:
            body = body[part]  # type: ignore[index]
        except (LookupError, TypeError):
            if not (is_last and is_absent):
                continue
        if isinstance(part, int) or is_harmless_name(part):
            pointer.append(str(part))
    return pointer


def is_harmless_name(name: str) -> bool:
    """Whether a name that a client made up may be repeated: it cannot be anything but a name."""
    return _HARMLESS_NAME.fullmatch(name) is not None


def database_away(error: Exception) -> DatabaseAway:
    logger.error("the database is away: %s", type(error).__name__)
    return DatabaseAway()


def _on_database_away(_: Request, error: Exception) -> JSONResponse:
    return problem(database_away(error))


def unstorable() -> InvalidInput:
    """PostgreSQL stores no NUL characters; SQLite does."""
    return InvalidInput(
        "A value holds characters that cannot be stored.", fix="Leave out U+0000.", code="unstorable-character"
    )


def _on_unstorable(_: Request, __: Exception) -> JSONResponse:
    return problem(unstorable())


def _on_broken_off(_: Request, __: Exception) -> JSONResponse:
    """Nobody is left to read this, but it is no incident."""
    return problem(Malformed("The body broke off.", code="body-broken-off"))


def _on_unexpected(request: Request, error: Exception) -> JSONResponse:
    incident = token_hex(8)
    route = getattr(request.scope.get("route"), "path", "?")
    logger.error("incident %s: %s on %s %s", incident, type(error).__name__, request.method, route)
    members = {"detail": "Something unexpected happened; nothing was changed.", "id": incident}
    return _document(500, "internal-error", "Internal error", members, {})


def too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The body is larger than {limit} bytes.",
        fix="Send less at once, or raise LETHE_MAX_UPLOAD_BYTES if it is an upload.",
        extra={"limit": limit},
    )
