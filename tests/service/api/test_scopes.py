"""Scopes: one table for all routes, and nothing for what it leaves out."""

import pytest

from service.api.scopes import BY_AGENT, BY_SIGNATURE, SCOPE_OF
from service.domain.scopes import Scope
from tests.support.api import Api, assert_problem
from tests.support.document import document

OPEN = {
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/.well-known/jwks.json",
    "/.well-known/model-signing.pem",
    "/opendsr/discovery",
    "/opendsr/certificate.pem",
}
DOCUMENT = document()
BY_SIGNATURE_PATHS = {
    path
    for path, methods in DOCUMENT["paths"].items()
    if any(operation["operationId"] in BY_SIGNATURE for operation in methods.values())
}
GUARDED = {
    operation["operationId"]
    for path, methods in DOCUMENT["paths"].items()
    for operation in methods.values()
    if path not in OPEN | BY_SIGNATURE_PATHS and operation["operationId"] not in BY_AGENT
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
        for path, methods in DOCUMENT["paths"].items()
        if not any("security" in operation for operation in methods.values())
    }
    assert unguarded == OPEN


def test_only_deliveries_prove_themselves_by_a_signature_instead() -> None:
    assert {"/v1/inbound/{provider}/{endpoint_id}"} == BY_SIGNATURE_PATHS
    assert not BY_SIGNATURE & set(SCOPE_OF)
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            schemes = {name for one in operation.get("security", ()) for name in one}
            assert ("inbound_signature" in schemes) == (path in BY_SIGNATURE_PATHS), path


def test_agents_have_tokens_of_their_own() -> None:
    """But for the call by which they get one."""
    assert not BY_AGENT & set(SCOPE_OF)
    schemes = {
        operation["operationId"]: [name for one in operation.get("security", ()) for name in one]
        for path, methods in DOCUMENT["paths"].items()
        for operation in methods.values()
        if path.startswith("/drp/")
    }
    assert set(schemes) == BY_AGENT
    assert schemes.pop("pair_drp_agent") == []
    assert all(names == ["drp_token"] for names in schemes.values())


def test_an_operation_that_the_table_forgot_is_closed_to_all(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api.client.get("/v1/adapters").status_code == 200
    monkeypatch.delitem(SCOPE_OF, "list_adapters")  # type: ignore[arg-type]
    assert_problem(api.client.get("/v1/adapters"), 403, "missing-scope", scope=None)
