"""The API over a house without processes: tests call it over HTTP and play the worker themselves."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.domain.scopes import Scope
from service.flows.keys import KeyOrder, create_key
from service.flows.vault import open_vault
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store
from tests.support.contract import check_refusal
from tests.support.house import House

MASTER_KEY = bytes(range(32))
ADMIN_KEY = "lethe_admin_key_of_the_tests"
EVERY_SCOPE = frozenset(Scope)
# Tests call more often than anybody.
UNLIMITED = {"rate_limit": 0, "rate_limit_posts": 0, "rate_limit_failures": 0}


class Api(House):
    """A house with a door. `client` holds the admin key."""

    def __init__(self, home: Path, database_url: str, **settings: object) -> None:
        self.settings = Settings.model_validate(
            {
                "home": home,
                "database_url": database_url,
                "redis_url": "redis://127.0.0.1:1/0",
                "admin_key": ADMIN_KEY,
                **UNLIMITED,
                **settings,
            }
        )
        store = Store(database_url)
        vault, blobs = open_vault(store, MASTER_KEY), Blobs(self.settings.blob_url)
        super().__init__(store, vault, blobs, home / "trees")
        self.app = self.app_of()
        self.client = self.client_of(ADMIN_KEY)

    def client_of(self, token: str | None) -> TestClient:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = TestClient(self.app, headers=headers, raise_server_exceptions=False)
        client.event_hooks = {"response": [check_refusal]}
        return client

    def client_with(self, *scopes: Scope, lines: Sequence[str] | None = None) -> TestClient:
        """A client whose fresh key has these scopes (none: all), bound to some lines."""
        return self.client_of(self.token_of(*scopes, lines=lines))

    def token_of(self, *scopes: Scope, lines: Sequence[str] | None = None) -> str:
        order = KeyOrder("test", frozenset(scopes) or EVERY_SCOPE, lines)
        with self.store.write() as unit:
            _, token = create_key(unit, self.vault, order, granted=EVERY_SCOPE, actor="test")
        return token

    def app_of(self) -> FastAPI:
        """Another process's application over the same deployment."""
        return create_app(self.settings, self.store, self.vault, self.blobs)

    def submit_over(self, client: TestClient, instance_id: str = "p1-0") -> str:
        """File a removal over HTTP; returns the request's id."""
        response = client.post("/v1/unlearning-requests", json=removal(instance_id))
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def upload(self, rows: Iterable[dict[str, object]]) -> str:
        response = self.client.post("/v1/datasets", content=jsonl(rows), headers=NDJSON)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def stored_files(self) -> set[str]:
        """Every file in the blob store."""
        root = self.settings.home / "blobs"
        return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}

    def count(self, table: type) -> int:
        from sqlalchemy import func, select

        with self.store.read() as unit:
            return unit.session.scalar(select(func.count()).select_from(table)) or 0


NDJSON = {"Content-Type": "application/x-ndjson"}


def jsonl(rows: Iterable[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def removal(*instance_ids: str, **fields: object) -> dict[str, object]:
    return {"operations": [{"type": "remove", "select": {"instance_ids": list(instance_ids)}}], **fields}


def erasure(subject: str, **fields: object) -> dict[str, object]:
    return {"operations": [{"type": "remove", "select": {"subject": subject}}], **fields}


def correction(instance_id: str, completion: str, **fields: object) -> dict[str, object]:
    operation = {"type": "correct_response", "instance_id": instance_id, "completion": completion}
    return {"operations": [operation], **fields}


def assert_problem(response: httpx.Response, status: int, code: str, **members: object) -> dict[str, object]:
    """The response is a problem document of this kind; returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = response.json()
    assert document["code"] == code, document
    assert document["type"] == f"urn:lethe:problem:{code}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    for name, value in members.items():
        assert document[name] == value, document
    return document
