"""How pages are made of templates: whatever is put into one is escaped, and nothing that it names may be missing."""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment(filters: Mapping[str, Callable[..., Any]], **known: object) -> Environment:
    """The templates of `service/api/templates`, with filters, and with what all of them know."""
    made = Environment(
        loader=PackageLoader("service.api"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(filters)
    made.globals.update(known)
    return made
