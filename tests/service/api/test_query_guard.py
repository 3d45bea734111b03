"""A query parameter that a call does not have is refused, instead of being left out."""

import pytest
from fastapi.routing import APIRoute

from service.api.app import FOREIGN, RESOURCES
from tests.support.api import Api, assert_problem

LISTS = ("/v1/adapters", "/v1/datasets", "/v1/unlearning-requests", "/v1/runs", "/v1/events", "/v1/keys", "/v1/audit")


@pytest.mark.parametrize("path", LISTS)
def test_a_parameter_with_a_typing_error(api: Api, path: str) -> None:
    document = assert_problem(api.client.get(path, params={"limti": 3}), 422, "unknown-parameter", field="limti")
    assert "limit" in str(document["fix"])


def test_a_call_without_parameters(api: Api) -> None:
    response = api.client.post("/v1/keys?dry_run=true", json={"name": "n", "scopes": ["audit:read"]})
    assert_problem(response, 422, "unknown-parameter", field="dry_run", fix="It has none.")
    assert len(api.client.get("/v1/keys").json()["items"]) == 1, "nothing was made"


def test_parameters_of_the_path_and_of_headers_are_none_of_the_query(api: Api) -> None:
    api.client.post("/v1/adapters", json={"name": "bot", "base_model": {"path": "/base"}})
    assert_problem(api.client.get("/v1/adapters/bot?name=other"), 422, "unknown-parameter", field="name")
    assert_problem(api.client.get("/v1/events?last_event_id=3"), 422, "unknown-parameter", field="last_event_id")


def test_one_that_is_given_twice(api: Api) -> None:
    response = api.client.get("/v1/unlearning-requests?adapter=a&adapter=b")
    assert_problem(response, 422, "repeated-parameter", field="adapter")


def test_what_cannot_be_a_name_is_not_repeated(api: Api) -> None:
    response = api.client.get("/v1/adapters", params={"jane@example.com": "1"})
    assert_problem(response, 422, "unknown-parameter", field="query")
    assert "jane" not in response.text


def test_a_caller_without_a_key_learns_nothing_of_it(api: Api) -> None:
    assert_problem(api.client_of(None).get("/v1/adapters?limti=3"), 401, "unauthenticated")


def test_those_of_foreign_protocols_may_say_more(api: Api) -> None:
    response = api.client.get("/hub/api/models/bot/v1?expand=siblings")
    assert_problem(response, 404, "unknown-adapter")


def test_every_parameter_that_is_documented_passes(api: Api) -> None:
    """Also those of models and dependencies."""
    paths = api.app.openapi()["paths"]
    asked = 0
    for path, methods in paths.items():
        for parameter in methods.get("get", {}).get("parameters", ()):
            if parameter["in"] == "query" and "{" not in path:
                response = api.client.get(path, params={parameter["name"]: "x"})
                assert response.json().get("code") not in ("unknown-parameter", "repeated-parameter")
                asked += 1
    assert asked > 10
    assert api.client.get("/v1/adapters/nobody/manifests/dynamo-model?alias=a&pool=b").status_code == 404


def test_ours_are_all_below_v1() -> None:
    for module in RESOURCES:
        paths = {route.path for route in module.router.routes if isinstance(route, APIRoute)}
        assert all(path.startswith("/v1/") for path in paths) == (module not in FOREIGN), module.__name__
