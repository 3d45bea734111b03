"""Every refusal of every route is a problem document of one shape."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.api.scopes import BY_SIGNATURE, SCOPE_OF
from service.domain.scopes import EVERY_SCOPE
from tests.support.api import Api, assert_problem
from tests.support.document import document

STANDARD = {"type", "title", "status", "code", "detail"}
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in document()["paths"].items()
    for method, operation in methods.items()
    if path.startswith("/v1/") and operation["operationId"] not in BY_SIGNATURE
]
GUARDED = [(method, path, operation["operationId"]) for method, path, operation in OPERATIONS]
PARAMETERS = {
    "kid": "unknown",
    "name": "nobody",
    "version": "v1",
    "alias": "production",
    "kind": "lora-adapter",
    "file": "adapter_config.json",
    "dataset_id": "ds_0",
    "request_id": "req_0",
    "run_id": "run_0",
    "key_id": "key_0",
    "target_id": "srv_0",
    "endpoint_id": "inb_0",
    "secret_id": "ins_0",
    "delivery_id": "whd_0",
}


@pytest.fixture(scope="module")
def api(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One for all tests here: they change nothing."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(migrated_sqlite, home / "lethe.db")
    api = Api(home, f"sqlite:///{home}/lethe.db")
    yield api
    api.store.close()


def filled(path: str) -> str:
    return re.sub(r"{(\w+)}", lambda match: PARAMETERS[match[1]], path)


@pytest.mark.parametrize(("method", "path", "_name"), GUARDED)
def test_without_a_key(api: Api, method: str, path: str, _name: str) -> None:
    response = api.client_of(None).request(method, filled(path))
    document = assert_problem(response, 401, "unauthenticated")
    assert set(document) <= STANDARD | {"fix"}
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "name"), GUARDED)
def test_without_the_scope(api: Api, method: str, path: str, name: str) -> None:
    others = EVERY_SCOPE - {SCOPE_OF[name]}
    content = {"json": {}} if method in ("POST", "PUT", "PATCH") else {}
    response = api.client_with(*others).request(method, filled(path), **content)  # type: ignore[arg-type]
    assert_problem(response, 403, "missing-scope", scope=SCOPE_OF[name])


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for method, path, _ in GUARDED if "{" in path and method in ("GET", "DELETE")]
)
def test_what_does_not_exist(api: Api, method: str, path: str) -> None:
    document = assert_problem(api.client.request(method, filled(path)), 404, _unknown(path))
    assert set(document) <= STANDARD | {"field", "fix"}


def _unknown(path: str) -> str:
    kinds = {
        "datasets": "dataset",
        "adapters": "adapter",
        "unlearning-requests": "request",
        "runs": "run",
        "serving-targets": "serving-target",
        "inbound-endpoints": "endpoint",
        "webhook-endpoints": "webhook-endpoint",
    }
    return "unknown-" + kinds.get(path.split("/")[2], "key")


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for method, path, operation in OPERATIONS if "requestBody" in operation]
)
def test_a_body_that_is_no_json(api: Api, method: str, path: str) -> None:
    response = api.client.request(
        method, filled(path), content=b'{"Secret": ', headers={"Content-Type": "application/json"}
    )
    assert_problem(response, 400, "malformed-json")
    assert "Secret" not in response.text


def test_an_unknown_route(api: Api) -> None:
    assert_problem(api.client.get("/v2/adapters"), 404, "unknown-route")
    assert_problem(api.client.get("/v1/adapters/"), 404, "unknown-route")


def test_a_wrong_method_names_the_right_ones(api: Api) -> None:
    response = api.client.put("/v1/runs/run_0")
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET"
    response = api.client.post("/v1/adapters/bot/aliases/production")
    assert response.headers["allow"] == "DELETE, GET, PUT"
    assert api.client.delete("/v1/keys").headers["allow"] == "GET, POST"


def test_several_findings_are_listed_without_what_was_sent(api: Api) -> None:
    body = {
        "operations": [
            {"type": "remove", "select": {"instance_ids": ["a"], "subject": "Jane Doe"}},
            {"type": "modify_query", "instance_id": "x" * 500, "prompt": "Jane Doe lives here"},
            {"type": "forget Jane Doe"},
            {"type": "remove", "select": {"Jane Doe": 1}},
        ],
        "strategy": "Jane Doe",
        "regulation": "Jane Doe",
    }
    response = api.client.post("/v1/unlearning-requests", json=body)
    document = assert_problem(response, 422, "invalid-input")
    assert "Jane" not in response.text
    assert "xxx" not in response.text
    errors = document["errors"]
    assert isinstance(errors, list)
    assert {error["field"] for error in errors} == {
        "/operations/0/select",
        "/operations/1/instance_id",
        "/operations/2",
        "/operations/3/select",
        "/strategy",
        "/regulation",
    }


def test_a_missing_member_is_pointed_at(api: Api) -> None:
    body = {"name": "bot"}
    assert_problem(api.client.post("/v1/adapters", json=body), 422, "invalid-input", field="/base_model")
    deeper = {"name": "bot", "base_model": {}}
    assert_problem(api.client.post("/v1/adapters", json=deeper), 422, "invalid-input", field="/base_model/path")


def test_an_unknown_member_is_refused_by_name(api: Api) -> None:
    body = {"name": "bot", "base_model": {"path": "/base"}, "polcy": {}}
    assert_problem(api.client.post("/v1/adapters", json=body), 422, "invalid-input", field="/polcy")


def test_a_body_of_another_media_type(api: Api) -> None:
    response = api.client.post("/v1/adapters", content=b"name=bot", headers={"Content-Type": "text/plain"})
    assert_problem(response, 415, "unsupported-media-type")


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\u0000\\ud83d"'])
def test_half_a_surrogate_pair_is_refused(api: Api, text: str) -> None:
    body = b'{"name": %s, "scopes": ["audit:read"]}' % text.encode()
    response = api.client.post("/v1/keys", content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "invalid-input", field="/name")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"policy": {"grace_period_s": "3"}}, "/policy/grace_period_s"),
        ({"policy": {"grace_period_s": True}}, "/policy/grace_period_s"),
        ({"policy": {"require_approval": 0}}, "/policy/require_approval"),
        ({"policy": {"require_approval": "yes"}}, "/policy/require_approval"),
    ],
)
def test_types_are_not_guessed(api: Api, value: dict[str, object], field: str) -> None:
    body = {"name": "bot", "base_model": {"path": "/b"}, **value}
    assert_problem(api.client.post("/v1/adapters", json=body), 422, "invalid-input", field=field)


@pytest.mark.parametrize("moment", [1_700_000_000, "1700000000", "1700000000.5", 0, True])
def test_numbers_are_no_dates(api: Api, moment: object) -> None:
    body = {"name": "n", "scopes": ["audit:read"], "expires_at": moment}
    assert_problem(api.client.post("/v1/keys", json=body), 422, "invalid-input", field="/expires_at")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none(api: Api, number: str) -> None:
    body = b'{"name": "bot", "base_model": {"path": "/b"}, "policy": {"grace_period_s": %s}}' % number.encode()
    response = api.client.post("/v1/adapters", content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "invalid-input", field="/policy/grace_period_s")


class TestUnexpected:
    def test_it_has_an_id_that_the_log_has_too(self, api: Api, caplog: pytest.LogCaptureFixture) -> None:
        @api.app.get("/broken")
        def broken() -> None:
            raise RuntimeError("a secret of Jane Doe")

        response = TestClient(api.app, raise_server_exceptions=False).get("/broken")
        document = assert_problem(response, 500, "internal-error")
        assert "Jane" not in response.text
        assert str(document["id"]) in caplog.text
        assert "Jane" not in "".join(r.getMessage() for r in caplog.records if r.name.startswith("service"))

    def test_a_database_that_is_away_is_no_incident(self, tmp_path: Path, sqlite_url: str) -> None:
        api = Api(tmp_path / "home", sqlite_url)
        api.store.close()
        Path(sqlite_url.removeprefix("sqlite:///")).unlink()
        response = api.client.get("/v1/adapters")
        assert_problem(response, 503, "database-unavailable")
        assert response.headers["retry-after"]
