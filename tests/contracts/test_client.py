"""Every route of the API has a call in the Python client, which sends what the route takes and reads all it answers.

Generated from the OpenAPI document: a route, parameter or member that is added to the API fails here until the client
has it too (`service/client/calls`, `service/client/answers`, `service/client/methods.py`).
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin

import httpx
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from service.client import looking_for, remove, unlearning
from service.client.call import Call, Every, Form, Json, One
from service.client.calls import adapters, datasets, inbound, operations, requests, serving, versions, webhooks
from service.client.methods import Methods
from service.domain.adapters import BaseModelRef, Recipe, TrainingFormat
from service.domain.canary import Bound, CanaryRules
from service.domain.decisions import RejectionCode
from service.domain.inbound import Provider
from service.domain.serving import ServerKind
from service.domain.signing import KeyPurpose, RevocationReason
from service.domain.webhooks import SignatureScheme
from tests.support.document import document

DOCUMENT: dict[str, Any] = document()
MODULES: list[ModuleType] = [adapters, datasets, inbound, operations, requests, serving, versions, webhooks]
# These routes speak what others have code for: Hub clients, LoRAX, privacy platforms.
FOR_OTHER_CLIENTS = ("/hub/", "/v2/repos/", "/v1/inbound/", "/opendsr/", "/drp/")
MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
# What calls are tried with, by the parameter's name.
SAMPLES: dict[str, Any] = {
    "name": "bot", "version": "v2", "alias": "production", "kind": ServerKind.vllm, "file": "adapter_config.json",
    "request_id": "req_1", "run_id": "run_1", "dataset_id": "ds_1", "key_id": "key_1", "kid": "kid-1",
    "target_id": "srv_1", "cursor": "c", "limit": 7, "start": "now", "adapter": "bot", "request": "req_1",
    "run": "run_1", "state": "queued", "client_reference": "DSR-1", "overdue": True, "format": "zip",
    "namespace": "inference", "base_model": BaseModelRef(path="/base"), "pool": "gpu-80g", "directory": "/adapters",
    "group": "inference.networking.x-k8s.io", "policy": {"max_share": 0.5}, "versions": ["v1"], "expected": "v1",
    "rules": CanaryRules(bounds=(Bound(metric="score", at_least=1),)), "values": {"score": 1.0}, "reason": "It may.",
    "dataset": "ds_1", "holdout": "ds_2", "recipe": Recipe(), "training_format": TrainingFormat(),
    "record": Path("record.tar"), "archive": Path("adapter.tar"), "expected_losses": {"p1-0": 0.5},
    "uri": "file:///data/rows.jsonl", "body": unlearning(remove("p1-0"), received_at=MOMENT, due_at=MOMENT),
    "due_at": MOMENT, "created_after": MOMENT, "created_before": MOMENT, "due_before": MOMENT,
    "received_after": MOMENT, "received_before": MOMENT,
    "scopes": ["runs:read"], "lines": ["bot"], "expires_at": MOMENT,
    "purpose": KeyPurpose.models, "urls": ["http://vllm-0:8000"], "mount": "/adapters", "precision": "bfloat16",
    "max_lora_rank": 16, "target_modules": ["q_proj"], "api_key": "secret", "forget": True,
    "idempotency_key": "key-1", "provider": Provider.standard_webhooks, "secret": "whsec_1", "endpoint_id": "inb_1",
    "subject_kinds": {"customerNumber": "customer_id"}, "erasure_types": ["user.deleted"], "regulation": "gdpr",
    "changes": {"name": "privacy desk"}, "secret_id": "ins_1",
    "agent_id": "AGENT", "business_id": "BUSINESS", "callback_hosts": ["agent.example.com"],
    "url": "https://example.com/hook", "scheme": SignatureScheme.hmac, "event_types": ["request.*"],
    "description": "privacy desk", "enabled": True, "overlap_s": 60, "since": MOMENT, "delivery_id": "whd_1",
    "reason_code": RejectionCode.no_match,
    "search": looking_for(subject="jane", overdue=True, due_before=MOMENT),
}  # fmt: skip
# Where a name means something else.
PARTICULAR: dict[str, dict[str, Any]] = {
    "create_dataset": {"file": Path("rows.jsonl")},
    "get_manifest": {"kind": "lora-adapter", "base_model": "llama"},
    "update_webhook_endpoint": {"changes": {"description": "privacy desk"}},
    "revoke_signing_key": {"reason": RevocationReason.withdrawn},
}


def described() -> Iterator[tuple[str, Call[Any]]]:
    """Every call of the client with all its parameters, by its function's name."""
    for module in MODULES:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                yield name, function(**arguments(name, function))


def arguments(name: str, function: Callable[..., object]) -> dict[str, Any]:
    known = {**SAMPLES, **PARTICULAR.get(name, {})}
    return {parameter: known[parameter] for parameter in inspect.signature(function).parameters}


CALLS = dict(described())
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if not path.startswith(FOR_OTHER_CLIENTS)
}


def operation_of(call: Call[Any]) -> str:
    """The operation that a call makes; where two paths fit, the one with fewer names in it."""
    fitting = [
        (path.count("{"), operation_id)
        for operation_id, (method, path, _) in OPERATIONS.items()
        if method == call.method and re.fullmatch(re.sub(r"{[a-z_]+}", "[^/]+", path), call.path)
    ]
    assert fitting, f"the API has no {call.method} {call.path}"
    return min(fitting)[1]


def parameters(operation: dict[str, Any], where: str) -> set[str]:
    return {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == where}


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_every_route_has_a_call_that_sends_all_its_parameters(operation_id: str) -> None:
    calls = [call for call in CALLS.values() if operation_of(call) == operation_id]
    assert calls, "the client has no such call: add it to service/client/calls"
    _, _, operation = OPERATIONS[operation_id]
    assert {name for call in calls for name in call.params} == parameters(operation, "query")
    has_key = "idempotency-key" in parameters(operation, "header")
    assert {call.idempotency_key is not None for call in calls} == {has_key}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_a_method(name: str) -> None:
    assert name in vars(Methods), "list it in service/client/methods.py"


@pytest.mark.parametrize(("name", "call"), CALLS.items())
def test_every_body_is_one_that_the_route_takes(name: str, call: Call[Any]) -> None:
    content = OPERATIONS[operation_of(call)][2].get("requestBody", {}).get("content", {})
    match call.body:
        case Json():
            sent = httpx.Request("POST", "http://x", json=call.body.value)
            validator_of(content["application/json"]["schema"]).validate(json.loads(sent.content))
        case Form(fields, files):
            schema = content["multipart/form-data"]["schema"]
            assert fields.keys() | files.keys() == schema["properties"].keys()
            for field, value in fields.items():
                validator_of(schema["properties"][field]).validate(value)
        case None:
            assert not OPERATIONS[operation_of(call)][2].get("requestBody", {}).get("required"), name
        case file:
            assert file.media_type in content


def validator_of(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


@pytest.mark.parametrize(
    ("name", "call"), [(name, call) for name, call in CALLS.items() if isinstance(call.read, One | Every)]
)
def test_every_member_of_an_answer_is_read(name: str, call: Call[Any]) -> None:
    responses = OPERATIONS[operation_of(call)][2]["responses"]
    (success,) = (status for status in responses if status.startswith("2") and responses[status].get("content"))
    schema = responses[success]["content"]["application/json"]["schema"]
    match call.read:
        case One(model):
            compare(model, schema)
        case Every(model):
            compare(model, resolved(schema)["properties"]["items"]["items"])


def compare(model: type[BaseModel], schema: dict[str, Any]) -> None:
    """The client's model and the API's schema have the same members, all the way down."""
    schema = resolved(schema)
    members = {field.alias or name for name, field in model.model_fields.items()}
    assert members == schema["properties"].keys(), f"{model.__name__} and {schema['title']} differ"
    for name, field in model.model_fields.items():
        for inner in models_in(field.annotation):
            compare(inner, object_in(schema["properties"][name]))


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in `X`, `X | None`, `list[X]` and `dict[str, X]`."""
    if inspect.isclass(annotation) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def object_in(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the objects in such a member."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return object_in(next(one for one in schema["anyOf"] if one.get("type") != "null"))
    if schema.get("type") == "array":
        return object_in(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        return object_in(schema["additionalProperties"])
    return schema


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]]
    return found
