"""Scopes: one table for all routes, and nothing for what it leaves out."""

import pytest

from service.api.app import bare_app
from service.api.scopes import SCOPE_OF
from service.domain.scopes import Scope
from tests.support.api import Api, assert_problem

OPEN = {
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/.well-known/jwks.json",
    "/.well-known/model-signing.pem",
}
GUARDED = {
    operation["operationId"]
    for path, methods in bare_app().openapi()["paths"].items()
    for operation in methods.values()
    if path not in OPEN
}
# What answers whatever else Hub clients ask is no operation to be documented.
UNDOCUMENTED = {"refuse_hub_path"}


def test_the_table_holds_every_guarded_operation_and_no_other() -> None:
    assert set(SCOPE_OF) == GUARDED | UNDOCUMENTED


def test_every_scope_opens_something() -> None:
    assert set(SCOPE_OF.values()) == set(Scope)


def test_only_operations_are_open_without_a_key() -> None:
    unguarded = {
        path
        for path, methods in bare_app().openapi()["paths"].items()
        if not any("security" in operation for operation in methods.values())
    }
    assert unguarded == OPEN


def test_an_operation_that_the_table_forgot_is_closed_to_all(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api.client.get("/v1/adapters").status_code == 200
    monkeypatch.delitem(SCOPE_OF, "list_adapters")  # type: ignore[arg-type]
    assert_problem(api.client.get("/v1/adapters"), 403, "missing-scope", scope=None)
