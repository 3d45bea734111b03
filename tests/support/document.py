"""The OpenAPI document, which takes a second to make: once a process."""

from functools import cache
from typing import Any

from service.api.app import bare_app


@cache
def document() -> dict[str, Any]:
    """Not to be changed: everybody gets the same."""
    return bare_app().openapi()
