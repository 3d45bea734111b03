"""Refuses query parameters that a call does not have, or has once.

A filter with a typing error would otherwise be left out, and the call would answer for more than was asked. Of one
that is given twice, what checks the call before it comes here may see the other value.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.dependencies.utils import get_dependant, get_flat_params
from fastapi.params import Header, Path

from service.api.problems import is_harmless_name
from service.domain.errors import InvalidInput


# `async` only so that FastAPI does not spend a thread on it.
async def refuse_unknown_parameters(request: Request) -> None:
    """Raises InvalidInput."""
    known = _query_parameters(request.scope["route"].endpoint)
    for name in request.query_params:
        if name in known and len(request.query_params.getlist(name)) > 1:
            raise InvalidInput(
                "The query parameter is given twice.", field=name, fix="Give it once.", code="repeated-parameter"
            )
        if name not in known:
            raise InvalidInput(
                "The call has no such query parameter.",
                field=name if is_harmless_name(name) else "query",
                fix=f"It has {', '.join(sorted(known))}." if known else "It has none.",
                code="unknown-parameter",
            )


@cache
def _query_parameters(endpoint: Callable[..., Any]) -> frozenset[str]:
    parameters = get_flat_params(get_dependant(path="", call=endpoint))
    return frozenset(field.alias for field in parameters if not isinstance(field.field_info, Path | Header))
