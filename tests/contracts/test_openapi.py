"""The OpenAPI document: committed, complete, and such that clients can be generated from it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.api import openapi
from service.api.links import LINKS
from service.api.schemas.common import Output
from service.api.scopes import BY_SIGNATURE
from tests.support.document import document

COMMITTED = Path(__file__).parent / "openapi.json"
DOCUMENT: dict[str, Any] = document()
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
# Everything a client may rely on; the rest is refused or answered with a problem.
GUARDED_PROBLEMS = {"401", "403", "422", "500", "503"}


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_committed_document_is_the_one_of_the_code() -> None:
    assert json.loads(COMMITTED.read_text()) == DOCUMENT, "run make openapi"


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_every_reference_leads_somewhere() -> None:
    for reference in set(references(DOCUMENT)):
        node: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, reference
            node = node[part]


def test_operation_ids_are_the_names_of_the_routes_and_unique() -> None:
    ids = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(ids) == len(set(ids))
    assert {"create_request", "create_version", "download_file", "set_alias"} <= set(ids)


@pytest.mark.parametrize(("call", "operation"), OPERATIONS)
def test_every_operation_says_what_it_does_and_how_it_refuses(call: str, operation: dict[str, Any]) -> None:
    assert operation["description"]
    if not call.split()[1].startswith("/v1/"):
        return
    scheme = "inbound_signature" if operation["operationId"] in BY_SIGNATURE else "api_key"
    assert operation["security"] == [{scheme: []}]
    assert operation["responses"].keys() >= GUARDED_PROBLEMS
    for status, response in operation["responses"].items():
        if int(status) >= 400:
            assert list(response["content"]) == ["application/problem+json"], status


@pytest.mark.parametrize(("call", "operation"), [(c, o) for c, o in OPERATIONS if "{" in c])
def test_what_is_named_in_a_path_may_not_exist(call: str, operation: dict[str, Any]) -> None:
    assert operation["responses"].keys() & {"404", "4XX"}


def test_links_lead_from_an_operation_that_is_there_to_parameters_that_are() -> None:
    operations = {operation["operationId"]: operation for _, operation in OPERATIONS}
    assert LINKS.keys() <= operations.keys()
    for source, links in LINKS.items():
        for target, parameters in links.items():
            assert target in operations, source
            assert parameters.keys() <= {parameter["name"] for parameter in operations[target]["parameters"]}, target


def test_every_parameter_is_described() -> None:
    for call, operation in OPERATIONS:
        for parameter in operation.get("parameters", ()):
            if parameter["name"] != "accept":
                assert parameter.get("description"), f"{call}: {parameter['name']}"


def outputs(model: type[Output] = Output) -> Iterator[type[Output]]:
    for child in model.__subclasses__():
        yield child
        yield from outputs(child)


def test_every_member_of_an_answer_is_always_there() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for model in outputs():
        schema = schemas.get(model.__name__)
        if schema is not None and model.__name__ != "Problem":
            assert set(schema["required"]) == set(schema["properties"]), model.__name__


def test_every_member_of_our_schemas_is_described() -> None:
    from service.api.schemas.common import Input

    for model in [*outputs(), *Input.__subclasses__()]:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


class TestCommand:
    def test_a_document_that_drifted_fails_the_check(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        drifted = tmp_path / "openapi.json"
        drifted.write_text(COMMITTED.read_text().replace("Lethe", "Mnemosyne", 1))
        monkeypatch.setattr("sys.argv", ["openapi", "--check", str(drifted)])
        assert openapi.main() == 1
        assert "make openapi" in capsys.readouterr().err

    def test_the_committed_document_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.argv", ["openapi", "--check", str(COMMITTED)])
        assert openapi.main() == 0
