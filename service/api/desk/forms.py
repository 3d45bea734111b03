"""Forms as browsers send them, checked by the schemas of the API."""

import hmac
from collections.abc import Mapping
from datetime import date
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from service.api.context import InContext
from service.api.desk.origin import check_origin
from service.api.desk.visit import NotSignedIn, session_token
from service.api.problems import as_lethe_error
from service.domain.clocks import EARLIEST, LATEST
from service.domain.errors import Forbidden, InvalidInput

TOKEN = "form_token"
Schema = TypeVar("Schema", bound=BaseModel)


class Fields:
    """What was typed into a form. Fields that were left empty count as missing."""

    def __init__(self, values: Mapping[str, list[str]]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        """The first value, without white space around it."""
        return (self._values.get(name) or [""])[0].strip() or None

    def verbatim(self, name: str) -> str:
        """The first value as it was typed, but for the line ends that forms send."""
        return (self._values.get(name) or [""])[0].replace("\r\n", "\n")

    def many(self, name: str) -> list[str]:
        """All values, or the lines of a text area, that are not empty."""
        lines = (line.strip() for value in self._values.get(name, ()) for line in value.splitlines())
        return [line for line in lines if line]

    def day(self, name: str) -> date | None:
        """Raises InvalidInput: it is no date, or lies too far off for calendar arithmetic."""
        given = self.text(name)
        if given is None:
            return None
        try:
            day = date.fromisoformat(given)
        except ValueError:
            raise InvalidInput("This is no date.", field=name, fix="Write it as 2026-03-31.") from None
        if not EARLIEST.date() < day < LATEST.date():
            raise InvalidInput(
                "The date does not lie between 2000 and 2200.", field=name, fix="Write it as 2026-03-31."
            )
        return day

    def everything(self) -> dict[str, list[str]]:
        """All of it, for a page that shows the form again, without the token."""
        return {name: list(values) for name, values in self._values.items() if name != TOKEN}


async def _fields(request: Request) -> Fields:
    values: dict[str, list[str]] = {}
    for name, value in (await request.form()).multi_items():
        if not isinstance(value, UploadFile):
            values.setdefault(name, []).append(value)
    return Fields(values)


def _own_fields(request: Request, context: InContext, fields: Annotated[Fields, Depends(_fields)]) -> Fields:
    """Raises NotSignedIn, or Forbidden if it comes from another site or session."""
    token = session_token(request, context.settings)
    if token is None:
        raise NotSignedIn("Nobody is signed in.", fix="Sign in again.")
    check_origin(request, context.settings)
    expected = context.vault.hashes.form_token(token)
    if not hmac.compare_digest((fields.text(TOKEN) or "").encode(), expected.encode()):
        raise Forbidden("The form belongs to another session.", fix="Open the page anew.", code="stale-form")
    return fields


def _open_fields(request: Request, context: InContext, fields: Annotated[Fields, Depends(_fields)]) -> Fields:
    """Raises Forbidden if it comes from another site."""
    check_origin(request, context.settings)
    return fields


OwnFields = Annotated[Fields, Depends(_own_fields)]
OpenFields = Annotated[Fields, Depends(_open_fields)]


def checked(schema: type[Schema], values: Mapping[str, object]) -> Schema:
    """The values as the API takes them.

    Raises:
        InvalidInput: one of them cannot be accepted; nothing of it is repeated.
    """
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return schema.model_validate(given)
    except ValidationError as error:
        located = [{**found, "loc": ("body", *found["loc"])} for found in error.errors(include_url=False)]
        raise as_lethe_error(located, given) from None
