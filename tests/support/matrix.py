"""Two lines with all that belongs to them, and a sample of every path and body by which routes name such things.

`tests/service/api/test_matrix.py` walks every route of the app with it. A route whose path has a parameter that is
not known here, or that asks for a body that is not here, fails there until it is added.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from service.api.desk.router import MODULES
from service.domain.scopes import Scope
from tests.support.api import Api, removal
from tests.support.domain_certificate import DOMAIN, certified
from tests.support.house import person

MINE, THEIRS = "line-of-mine", "line-of-theirs"
MADE_UP = "made-up"


# POSTs that only read.
READING = frozenset({"search_requests", "create_plan", "plan_roll_forward"})
# What tells of lines by numbers alone.
COUNTING = frozenset({"get_summary"})


@dataclass(frozen=True)
class Operation:
    """A route with one of its methods."""

    id: str
    method: str
    path: str

    @property
    def parameters(self) -> set[str]:
        return {part.partition(":")[0].strip("{}") for part in self.path.split("/") if part.startswith("{")}

    @property
    def changes(self) -> bool:
        return self.method not in ("GET", "HEAD") and self.id not in READING


def operations(app: FastAPI) -> Iterator[Operation]:
    """Every route of ours, those that the OpenAPI document leaves out too.

    Without the desk's, which ask for a session: `tests/service/api/desk/test_pages.py` does the same for them.
    """
    of_the_desk = {route.path for module in MODULES for route in module.router.routes if isinstance(route, APIRoute)}
    for route in _routes(app.routes):
        if isinstance(route, APIRoute) and route.path not in of_the_desk:
            for method in sorted(route.methods):
                yield Operation(route.name, method, route.path)


def _routes(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from _routes(included.routes)


@dataclass(frozen=True)
class Things:
    """What belongs to a line, by the name of the path parameter that names it; and what does to the deployment."""

    line: str
    named: Mapping[str, str]
    subject: str

    @property
    def marks(self) -> set[str]:
        """Whatever shows that something of the line is told."""
        return {self.named[name] for name in OF_A_LINE}

    def url(self, operation: Operation, *, instead: str | None = None) -> str:
        """The operation's path, with `instead` in place of all that belongs to a line or the deployment."""
        path = operation.path.replace(":path}", "}")
        for name in operation.parameters:
            known = "inbound_id" if name == "endpoint_id" and "/inbound" in path else name
            value = self.named[known] if instead is None or name in FREE else PLACEHOLDERS.get(name, instead)
            path = path.replace(f"{{{name}}}", value)
        return path


# What belongs to a line, so that it is not there for a key that is bound to others.
OF_A_LINE = frozenset({"name", "request_id", "run_id", "dataset_id", "subject_request_id"})
# What concerns the whole deployment, so that bound keys are refused whatever they name.
OF_THE_DEPLOYMENT = frozenset({"key_id", "kid", "target_id", "endpoint_id", "delivery_id", "secret_id"})
# What means nothing by itself.
FREE = {
    "version": "v1",
    "alias": "production",
    "file": "adapter_config.json",
    "repository": "v1",
    "revision": "v1",
    "number": "1",
    "kind": "lora-adapter",
    "provider": "standard_webhooks",
    "agent_id": "AGENT",
    "path": "api/datasets/x",
}
PLACEHOLDERS = {"subject_request_id": str(uuid4())}

Body = Callable[[Things], dict[str, Any]]
_RULES = {"bounds": [{"metric": "score", "at_least": 1.0}]}
_HOOK = "https://example.com/hook"
# Of operations that ask for a body.
BODIES: Mapping[str, Body] = {
    "create_dataset": lambda _: {"uri": "file:///nowhere/rows.jsonl"},
    "create_adapter": lambda things: {"name": things.line, "base_model": {"path": "/base"}},
    "update_adapter": lambda _: {"policy": {"max_share": 0.5}},
    "retire_adapter": lambda _: {"reason": "Its time has come."},
    "create_version": lambda things: {"source": {"type": "train", "dataset": things.named["dataset_id"]}},
    "set_alias": lambda _: {"version": "v1", "expected": "v1"},
    "withdraw_versions": lambda _: {"versions": ["v1"]},
    "begin_canary": lambda _: {"version": "v1", "rules": _RULES},
    "observe_canary": lambda _: {"values": {"score": 1.0}},
    "plan_roll_forward": lambda _: {"version": "v1"},
    "create_roll_forward": lambda _: {"version": "v1"},
    "create_plan": lambda things: removal("p1-0", adapters=[things.line]),
    "create_request": lambda things: removal("p1-0", adapters=[things.line]),
    "search_requests": lambda things: {"subject": {"kind": "email", "value": things.subject}},
    "reject_request": lambda _: {"reason": "No."},
    "accept_request": lambda _: {"reason": "It may."},
    "extend_request": lambda _: {"due_at": "2150-01-01T00:00:00Z", "reason": "It takes long."},
    "create_serving_target": lambda things: {
        "name": "chat", "kind": "vllm", "urls": ["http://vllm:8000"], "lines": [things.line],
    },
    "create_webhook_endpoint": lambda things: {"url": _HOOK, "lines": [things.line]},
    "update_webhook_endpoint": lambda things: {"lines": [things.line]},
    "recover_webhook_deliveries": lambda _: {"since": "2100-01-01T00:00:00Z"},
    "create_key": lambda things: {"name": "k", "scopes": ["keys:manage"], "lines": [things.line]},
    "revoke_signing_key": lambda _: {"reason": "withdrawn"},
    "create_inbound_endpoint": lambda things: {"provider": "standard_webhooks", "name": "x", "lines": [things.line]},
    "update_inbound_endpoint": lambda things: {"lines": [things.line]},
    "create_opendsr_request": lambda things: opendsr(things.subject, str(uuid4())),
    "receive_delivery": lambda _: {},
    "create_drp_request": lambda _: {},
    "revoke_drp_request": lambda _: {},
    "pair_drp_agent": lambda _: {},
}  # fmt: skip


def opendsr(subject: str, uuid: str) -> dict[str, Any]:
    return {
        "regulation": "gdpr",
        "subject_request_id": uuid,
        "subject_request_type": "erasure",
        "submitted_time": "2026-01-31T15:00:00Z",
        "subject_identities": [{"identity_type": "email", "identity_value": subject, "identity_format": "raw"}],
        "api_version": "2.0",
    }


@dataclass(frozen=True)
class World:
    """A deployment with both lines. `bound`: a key of every scope that is bound to mine."""

    api: Api
    mine: Things
    theirs: Things
    bound: str
    home: Path

    def copy(self, home: Path) -> "World":
        """The same in another place, to be changed."""
        self.api.store.engine.dispose()
        shutil.copytree(self.home, home)
        return World(_api(home), self.mine, self.theirs, self.bound, home)


def build(home: Path, database: Path) -> World:
    """`database`: a migrated SQLite file."""
    home.mkdir()
    shutil.copyfile(database, home / "lethe.db")
    domain = certified(rsa.generate_private_key(65537, 2048), DOMAIN)
    (home / "domain.pem").write_bytes(domain.certificate)
    (home / "domain.key").write_bytes(domain.private)
    api = _api(home)
    lines = [(_things(api, line, number), line, f"Person {number + 10}") for number, line in ((1, MINE), (2, THEIRS))]
    deployment = _deployment(api)
    mine, theirs = (Things(line, {**FREE, **named, **deployment}, subject) for named, line, subject in lines)
    return World(api, mine, theirs, api.token_of(lines=[MINE]), home)


def _api(home: Path) -> Api:
    return Api(
        home, f"sqlite:///{home}/lethe.db",
        opendsr_certificate=home / "domain.pem", opendsr_key=home / "domain.key",
    )  # fmt: skip


def _things(api: Api, line: str, number: int) -> dict[str, str]:
    """A line about two people with a filed request, a run, a dataset and an OpenDSR request of its own."""
    api.line(line, [*person(number), *person(number + 10)], require_approval=True)
    own = api.client_with(lines=[line])
    request = own.post("/v1/unlearning-requests", json=removal(f"p{number}-0")).json()["id"]
    uuid = str(uuid4())
    own.post("/opendsr/requests", json=opendsr(f"Person {number + 10}", uuid)).raise_for_status()
    return {
        "name": line,
        "request_id": request,
        "run_id": own.get("/v1/runs").json()["items"][0]["id"],
        "dataset_id": own.get(f"/v1/adapters/{line}/versions/v1").json()["dataset"],
        "subject_request_id": uuid,
    }


def _deployment(api: Api) -> dict[str, str]:
    """Things that belong to the deployment, though they are about both lines."""
    client, lines = api.client, [MINE, THEIRS]
    hook = client.post("/v1/webhook-endpoints", json={"url": _HOOK, "lines": lines}).json()["id"]
    inbound = client.post(
        "/v1/inbound-endpoints", json={"provider": "standard_webhooks", "name": "x", "lines": lines}
    ).json()
    return {
        "key_id": client.post("/v1/keys", json={"name": "k", "scopes": [Scope.runs_read]}).json()["id"],
        "kid": client.get("/v1/signing-keys").json()["items"][0]["kid"],
        "target_id": client.post(
            "/v1/serving-targets", json={"name": "chat", "kind": "vllm", "urls": ["http://vllm:8000"], "lines": lines}
        ).json()["id"],
        "endpoint_id": hook,
        "delivery_id": client.post(f"/v1/webhook-endpoints/{hook}/test").json()["id"],
        "inbound_id": inbound["id"],
        "secret_id": inbound["secrets"][0]["id"],
    }  # fmt: skip


def dump(value: object) -> str:
    return json.dumps(value, sort_keys=True)
