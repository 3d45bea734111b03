"""The API's reference as a page: the OpenAPI document for people to read, without a script and without a key.

FastAPI's own page loads its scripts from elsewhere, and what runs on this host could do whatever the desk can.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.desk.page import render
from service.api.desk.route import DeskRoute
from service.api.scopes import SCOPE_OF

router = APIRouter(route_class=DeskRoute, include_in_schema=False)

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """A parameter, or a member of a body. `place`: `path`, `query`, `header` or `body`."""

    name: str
    place: str
    kind: str
    is_required: bool
    means: str


@dataclass(frozen=True, slots=True)
class Operation:
    """`scope`: what a key needs; None where none is asked for. `answers`: what each status means."""

    id: str
    method: str
    path: str
    means: str
    scope: str | None
    members: tuple[Member, ...]
    answers: Mapping[str, str]


@router.get("/docs")
def show_reference(request: Request) -> Response:
    return render(request, "reference.html", groups=_groups(request.app.openapi()))


def _groups(whole: Node) -> Mapping[str, list[Operation]]:
    """The operations by tag, in the document's order."""
    groups: dict[str, list[Operation]] = {}
    for path, methods in whole["paths"].items():
        for method, node in methods.items():
            groups.setdefault(node["tags"][0], []).append(_operation(whole, method.upper(), path, node))
    return groups


def _operation(whole: Node, method: str, path: str, node: Node) -> Operation:
    return Operation(
        node["operationId"],
        method,
        path,
        node.get("description", ""),
        SCOPE_OF.get(node["operationId"]),
        (*map(_parameter, node.get("parameters", ())), *_body(whole, node.get("requestBody", {}))),
        {status: answer["description"] for status, answer in node["responses"].items()},
    )


def _parameter(node: Node) -> Member:
    schema = node["schema"]
    return Member(node["name"], node["in"], _kind(schema), node.get("required", False), node.get("description", ""))


def _body(whole: Node, node: Node) -> Iterator[Member]:
    """The members of every body that is taken; of one that has none, itself."""
    for media_type, content in node.get("content", {}).items():
        schema = _resolved(whole, content["schema"])
        for name, one in schema.get("properties", {}).items():
            means = one.get("description") or _resolved(whole, one).get("description", "")
            yield Member(name, "body", _kind(one), name in schema.get("required", ()), means)
        if "properties" not in schema:
            is_required = node.get("required", False)
            yield Member(media_type, "body", _kind(schema), is_required, node.get("description", ""))


def _resolved(whole: Node, schema: Node) -> Node:
    """The schema that is referred to, if one is; of alternatives the first."""
    while True:
        if "$ref" in schema:
            schema = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        elif "anyOf" in schema:
            schema = schema["anyOf"][0]
        else:
            return schema


def _kind(schema: Node) -> str:
    """A type in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for alternatives in ("anyOf", "oneOf"):
        if alternatives in schema:
            return " or ".join(dict.fromkeys(map(_kind, schema[alternatives])))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("const") or schema.get("type", "any"))
