"""A process that starts on a restored database serves nothing until the erasures since its backup were done again."""

from pathlib import Path

import pytest

from service.flows.journal import journal_of, write_waiting
from service.store.blobs import Blobs
from tests.support.api import Api, assert_problem, removal
from tests.support.backup import back_up, restore
from tests.support.house import people


@pytest.fixture
def restored(api_on_both: Api, tmp_path: Path) -> Api:
    """An erasure was answered after the backup that is restored now, and the process has just started."""
    api = api_on_both
    line = api.line("bot", people(6))
    _write(api)
    back_up(api.store.url, tmp_path / "backup")
    api.submit_over(api.client)
    api.serve(line)
    _write(api)
    api.store.close()
    restore(api.store.url, tmp_path / "backup")
    api.app = api.app_of()
    return api


def _write(api: Api) -> None:
    write_waiting(api.store, journal_of(api.settings, api.vault))


def test_nothing_is_served_before_the_erasures_are_done_again(restored: Api) -> None:
    client = restored.client_with()
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert {name: ready.json()[name] for name in ("status", "database", "schema_current")} == {
        "status": "unready",
        "database": True,
        "schema_current": True,
    }
    assert (ready.json()["erasures_current"], ready.json()["erasures_pending"]) == (False, 1)
    for path in ("/v1/adapters/bot/versions/production/archive", "/api/models/bot", "/opendsr/discovery"):
        assert_problem(client.get(path), 503, "erasures-pending")
    filed = client.post("/v1/unlearning-requests", json=removal("p2-0"))
    assert_problem(filed, 503, "erasures-pending")
    assert filed.headers["Retry-After"] == "2"
    for path in ("/livez", "/metrics", "/version"):
        assert client.get(path).status_code == 200


def test_then_it_is_ready_and_what_remembers_is_not_served(restored: Api) -> None:
    client = restored.client_with()
    with client:
        for _ in range(100):
            if client.get("/readyz").json()["erasures_current"]:
                break
        assert client.get("/readyz").json()["erasures_pending"] == 0
        assert client.get("/v1/adapters/bot/versions/production/archive").status_code == 404
        assert client.get("/v1/adapters/bot/versions/v1/archive").status_code == 410
        [request] = client.get("/v1/unlearning-requests").json()["items"]
        assert request["state"] == "queued"
        assert client.get(f"/v1/unlearning-requests/{request['id']}/receipt").status_code == 200


def test_a_journal_that_cannot_be_read_keeps_everything_shut(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Blobs, prefix: str) -> set[str]:
        raise PermissionError

    monkeypatch.setattr(Blobs, "names", refuse)
    api.app = api.app_of()
    client = api.client_with()
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["erasures_pending"]) == (503, None)
    assert_problem(client.get("/v1/adapters"), 503, "erasures-pending")
