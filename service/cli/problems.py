"""What the service answers when it refuses (RFC 9457), as an exception."""

import contextlib
import dataclasses
from typing import Any

import httpx

PROBLEM_JSON = "application/problem+json"
STANDARD_MEMBERS = frozenset({"type", "title", "status", "detail", "instance", "code", "field", "fix"})


@dataclasses.dataclass(eq=False)
class Problem(Exception):
    """A refused call. `status` is 0 if the call never reached the service.

    `extra` holds the members that only this kind of problem has, such as `lowest_allowed`.
    """

    title: str
    detail: str
    status: int = 0
    code: str = "unreachable"
    field: str | None = None
    fix: str | None = None
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.title}: {self.detail}"

    @classmethod
    def from_response(cls, response: httpx.Response) -> "Problem":
        """The problem document of a response that was read; a plain one where a proxy answered instead."""
        document: object = None
        if response.headers.get("content-type", "").startswith(PROBLEM_JSON):
            with contextlib.suppress(ValueError):
                document = response.json()
        if not isinstance(document, dict):
            return cls(
                title=response.reason_phrase or "Unexpected answer",
                detail=f"{response.request.url} answered {response.status_code}.",
                status=response.status_code,
                code="unexpected-answer",
            )
        return cls(
            title=str(document.get("title", response.reason_phrase)),
            detail=str(document.get("detail", "")),
            status=response.status_code,
            code=str(document.get("code", "")),
            field=document.get("field"),
            fix=document.get("fix"),
            extra={name: value for name, value in document.items() if name not in STANDARD_MEMBERS},
        )

    def to_json(self) -> dict[str, Any]:
        """The members that are known, for machine output."""
        members = {
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "field": self.field,
            "fix": self.fix,
        }
        return {name: value for name, value in {**members, **self.extra}.items() if value is not None}


def unreachable(url: str, error: httpx.TransportError) -> Problem:
    return Problem(
        title="The service cannot be reached",
        detail=f"{url}: {str(error) or type(error).__name__}",
        fix="Start it with `lethe up`, or name it with --url or LETHE_URL.",
    )
