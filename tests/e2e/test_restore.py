"""The restore drill on a real stack: back up, erase for good, lose the database, restore the backup, start again."""

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from service.cli.stack import Stack
from service.domain.errors import Shredded
from service.evidence.tokens import new_token
from service.flows import texts
from service.flows.vault import reading_vault
from service.settings import Settings
from service.store.database import Store
from tests.support.backup import back_up, restore
from tests.support.house import people
from tests.workers.tiny_llama import save_tiny_llama

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PATIENCE_S = 90.0
SUBJECT = "Person 1"
LORA = {"r": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj"]}
RECIPE = {"epochs": 4, "batch_size": 8, "learning_rate": 5e-3, "lora": LORA}
POLICY = {"default_strategy": "influence", "complete_at": "I", "influence_share": 0.5, "max_share": 0.6}


class Client:
    def __init__(self, url: str, key: str) -> None:
        self._url, self._headers = url, {"Authorization": f"Bearer {key}"}

    def call(self, method: str, path: str, expected: int | None = None, **arguments: Any) -> Any:
        headers = self._headers | arguments.pop("headers", {})
        answer = httpx.request(method, f"{self._url}{path}", headers=headers, timeout=60, **arguments)
        assert answer.status_code == expected if expected else answer.is_success, answer.text
        return answer.json() if "json" in answer.headers["content-type"] else answer.content

    def until(self, path: str, **wanted: str) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while any((body := self.call("GET", path))[name] != value for name, value in wanted.items()):
            assert time.monotonic() < deadline, body
            time.sleep(0.2)
        return body

    def upload(self, rows: list[dict[str, object]]) -> str:
        content = "".join(json.dumps(row) + "\n" for row in rows)
        headers = {"Content-Type": "application/x-ndjson"}
        created: str = self.call("POST", "/v1/datasets", content=content, headers=headers)["id"]
        return created

    def train(self, base: Path) -> None:
        self.call("POST", "/v1/adapters", json={"name": "bot", "base_model": {"path": str(base)}, "policy": POLICY})
        source = {"type": "train", "dataset": self.upload(people(8)), "recipe": RECIPE}
        headers = {"Idempotency-Key": "train"}
        self.call("POST", "/v1/adapters/bot/versions", json={"source": source}, headers=headers)
        self.until("/v1/adapters/bot/versions/v1", state="ready")

    def erase(self) -> str:
        """Answered, then rebuilt; returns the request's path."""
        body = {"operations": [{"type": "remove", "select": {"subject": SUBJECT}}]}
        filed = self.call("POST", "/v1/unlearning-requests", json=body, headers={"Idempotency-Key": "erase"})
        path = f"/v1/unlearning-requests/{filed['id']}"
        self.until(path, state="succeeded")
        run = self.call("POST", "/v1/adapters/bot/rebuilds")
        self.until(f"/v1/runs/{run['id']}", state="succeeded")
        return path


def openable(settings: Settings) -> int:
    """How many of the person's rows open with the master key and the database as they are."""
    with closing(Store(settings.database_url)) as store, store.read() as unit:
        vault, count = reading_vault(settings), 0
        for dataset_id, instance_id in unit.datasets.of_subjects([vault.hashes.subject(SUBJECT)]):
            row = unit.datasets.some(dataset_id, [instance_id])[instance_id]
            try:
                texts.unseal(vault, unit.texts.get(row.text_id))
                count += 1
            except Shredded:
                pass
        return count


def test_who_was_erased_does_not_come_back_with_the_backup(database_url: str, tmp_path: Path) -> None:
    base, key = save_tiny_llama(tmp_path / "llama"), new_token()
    settings = Settings(
        home=tmp_path / "home",
        database_url=database_url,
        port=0,
        admin_key=SecretStr(key),
        device="cpu",
        reconcile_s=0.5,
        heartbeat_s=1,
        lease_s=10,
    )
    with Stack(settings, say=lambda _: None) as stack:
        client = Client(stack.url, key)
        client.train(base)
        back_up(database_url, tmp_path / "backup")
        path = client.erase()
        receipt = client.call("GET", f"{path}/receipt")
    assert openable(settings) == 0
    restore(database_url, tmp_path / "backup")
    assert openable(settings) == 2, "positive control: the backup has the texts and their keys"

    with Stack(settings, say=lambda _: None) as stack:
        assert openable(settings) == 0, "ready means that it was shredded again"
        client = Client(stack.url, key)
        client.call("GET", "/v1/adapters/bot/versions/v1/archive", 410)
        assert client.call("GET", f"{path}/receipt") == receipt
        again = client.upload([{**people(2)[2], "id": "again"}])
        body = {"source": {"type": "train", "dataset": again, "recipe": RECIPE}}
        client.call("POST", "/v1/adapters/bot/versions", json=body, headers={"Idempotency-Key": "again"}, expected=409)

        request = client.until(path, state="succeeded")
        assert request["targets"][0]["claim_level"] == "E"
        aliases = client.call("GET", "/v1/adapters/bot")["aliases"]
        assert aliases == {"production": "v4"}, "v2 and v3 had been given out"
        client.call("GET", "/v1/adapters/bot/versions/production/archive")
        assert client.call("GET", "/readyz")["erasures_pending"] == 0
