"""Holds whatever tests are answered to the OpenAPI document: a refusal must be one that the operation names."""

from functools import cache

import httpx
from fastapi.routing import APIRoute
from starlette.routing import Match

from service.api.app import RESOURCES
from service.api.problem_types import problem_types
from service.api.problems import MEDIA_TYPE
from service.api.routes import health, inbound, opendsr
from tests.support.document import document


@cache
def _statuses() -> dict[str, set[str]]:
    """The statuses that each operation can end with."""
    paths = document()["paths"]
    operations = (operation for methods in paths.values() for operation in methods.values())
    return {operation["operationId"]: set(operation["responses"]) for operation in operations}


@cache
def _routes() -> tuple[APIRoute, ...]:
    routers = [module.router for module in (*RESOURCES, inbound, health)]
    routes = (route for router in (*routers, opendsr.open_router) for route in router.routes)
    return tuple(route for route in routes if isinstance(route, APIRoute))


def check_refusal(response: httpx.Response) -> None:
    """The hook of a client."""
    if response.status_code < 400:
        return
    if response.headers.get("content-type") == MEDIA_TYPE and response.request.method != "HEAD":
        response.read()
        assert response.json()["code"] in problem_types(), "PROBLEMS.md does not explain it"
    request = response.request
    scope = {"type": "http", "method": request.method, "path": request.url.path, "root_path": "", "headers": []}
    route = next((route for route in _routes() if route.matches(scope)[0] is Match.FULL), None)
    documented = None if route is None else _statuses().get(route.name)
    if documented is not None:
        assert str(response.status_code) in documented, f"{route.name} does not name {response.status_code}"
