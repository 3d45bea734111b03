"""Refusals as exceptions: problem documents (RFC 9457) read back into the tree they were made from.

What the service refuses is raised as an error of `service.domain.errors`: by its code if the tree knows it, else by
its status. `error.code` is the code of the document in any case, `error.extra` holds members that only some kinds of
problems have, such as `lowest_allowed`. Three more are met by clients only:

    LetheError
    ├── Unreachable        the service did not answer
    ├── Unavailable   5xx  it answered that it cannot do this now, and went on saying so (429, 502, 503, 504)
    └── Unexpected         an answer that is not in the contract, or not the service's: a proxy's, for instance
"""

import contextlib
from typing import Any

import httpx

from service.domain import errors
from service.domain.errors import LetheError

PROBLEM_JSON = "application/problem+json"
UNAVAILABLE = frozenset({429, 502, 503, 504})
_STANDARD_MEMBERS = frozenset({"type", "title", "status", "detail", "instance", "code", "field", "fix"})


class Unreachable(LetheError):
    """The service did not answer."""

    status = 0
    default_code = "unreachable"
    title = "The service cannot be reached"


class Unavailable(LetheError):
    """The service cannot do this now."""

    status = 503
    default_code = "unavailable"
    title = "The service is not available"


class Unexpected(LetheError):
    """An answer that is not in the contract."""

    status = 0
    default_code = "unexpected-answer"
    title = "Unexpected answer"


_KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LetheError)]
_BY_CODE = {kind.default_code: kind for kind in _KINDS}
_BY_STATUS = {kind.status: kind for kind in _KINDS if kind.__base__ is LetheError and kind.status < 500}


def refusal(response: httpx.Response) -> LetheError:
    """The error that a refusal means; the response was read to its end."""
    document = _document(response)
    status = response.status_code
    code = str(document.get("code") or "")
    fallback = Unavailable if status in UNAVAILABLE else _BY_STATUS.get(status, Unexpected)
    error = _BY_CODE.get(code, fallback)(
        str(document.get("detail") or f"{response.request.url} answered {status}."),
        field=document.get("field"),
        fix=document.get("fix"),
        code=code or None,
        extra={name: value for name, value in document.items() if name not in _STANDARD_MEMBERS},
    )
    error.status = status
    error.title = str(document.get("title") or error.title)
    return error


def unreachable(error: httpx.TransportError) -> Unreachable:
    where = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
    return Unreachable(
        f"{where}: {str(error) or type(error).__name__}",
        fix="Start it with `lethe up`, or name it by its URL (LETHE_URL).",
    )


def unexpected(response: httpx.Response, why: str) -> Unexpected:
    error = Unexpected(f"{response.request.url} answered {response.status_code}: {why}")
    error.status = response.status_code
    return error


def _document(response: httpx.Response) -> dict[str, Any]:
    """The problem document; empty where a proxy answered instead."""
    if response.headers.get("content-type", "").startswith(PROBLEM_JSON):
        with contextlib.suppress(ValueError):
            document = response.json()
            if isinstance(document, dict):
                return document
    return {}
