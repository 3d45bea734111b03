"""Verified bytes as JSON, within limits, and refusals that quote nothing of it."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from service.domain.errors import InvalidInput, Unreadable

MAX_BYTES = 2**20
MAX_DEPTH = 32

Payload: TypeAlias = Mapping[str, Any]
Model = TypeVar("Model", bound=BaseModel)

_HARMLESS = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,40}")


def parse(body: bytes) -> Payload:
    """The object that the bytes hold.

    Raises:
        Unreadable: they are no JSON in UTF-8, no object, name a member twice, or are nested too deeply.
    """
    try:
        payload = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise Unreadable("The body is not valid JSON.", fix="Send JSON in UTF-8.", code="malformed-json") from None
    if not isinstance(payload, dict):
        raise Unreadable("The body is not a JSON object.", fix="Send one object.", code="malformed-json")
    _check_depth(payload)
    return payload


def validated(model: type[Model], payload: object, *, at: str = "") -> Model:
    """The part of a payload that lies `at` a JSON pointer, as a model.

    Raises:
        InvalidInput: it does not fit.
    """
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        missing = first["type"] == "missing"
        raise InvalidInput(
            str(first["msg"]).removeprefix("Value error, ").rstrip(".") + ".",
            field="/".join([at, *_pointer(first["loc"], payload, is_absent=missing)]) or None,
            fix="Compare the delivery with what the provider's page in the README says.",
        ) from None


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("An object names a member twice.", fix="Name it once.", code="duplicate-member")
    return found


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


def _check_depth(payload: object) -> None:
    level = [payload]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise _too_deep()


def _children(node: object) -> list[object]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _too_deep() -> Unreadable:
    return Unreadable(
        f"The body is nested more than {MAX_DEPTH} levels deep.", fix="Send a flatter one.", code="too-deep"
    )


def _pointer(parts: Sequence[str | int], payload: Any, *, is_absent: bool) -> list[str]:
    """The parts that exist in the payload and may be quoted: pydantic adds the names of alternatives."""
    pointer: list[str] = []
    for position, part in enumerate(parts):
        try:
            payload = payload[part]
        except (LookupError, TypeError):
            if not (is_absent and position == len(parts) - 1):
                continue
        if isinstance(part, int) or _HARMLESS.fullmatch(part):
            pointer.append(str(part))
    return pointer
