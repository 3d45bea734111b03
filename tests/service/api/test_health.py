"""Operations: probes, metrics, version, keys."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.store.database import Store
from service.store.tables import Base
from tests.support.api import Api, removal
from tests.support.house import people


def metrics(api: Api) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = api.client_of(None).get("/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_alive_whatever_else_is_down(api: Api, sqlite_url: str) -> None:
    api.store.close()
    Path(sqlite_url.removeprefix("sqlite:///")).unlink()
    assert api.client_of(None).get("/livez").json() == {"status": "ok"}


class TestReady:
    def test_with_everything_there(self, sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
        api = Api(tmp_path / "home", sqlite_url, redis_url=redis_url)
        with api.store.write() as unit:
            unit.runs.seen_worker("w1", "gpu-80g", None, unit.now)
        response = api.client_of(None).get("/readyz")
        assert response.status_code == 200
        assert response.json() == {
            "status": "ready", "database": True, "schema_current": True, "redis": True, "workers": {"gpu-80g": 1},
            "erasures_current": True, "erasures_pending": 0,
        }  # fmt: skip

    def test_without_redis_requests_are_still_taken(self, api: Api) -> None:
        response = api.client_of(None).get("/readyz")
        assert (response.status_code, response.json()["status"]) == (200, "degraded")
        api.line("bot", people(10))
        assert api.client.post("/v1/unlearning-requests", json=removal("p1-0")).status_code == 202

    def test_without_migrations(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/bare.db"
        store = Store(url)
        Base.metadata.create_all(store.engine)
        store.close()
        response = Api(tmp_path / "home", url).client_of(None).get("/readyz")
        assert (response.status_code, response.json()["status"]) == (503, "unready")

    def test_without_the_database(self, api: Api, sqlite_url: str) -> None:
        api.store.close()
        Path(sqlite_url.removeprefix("sqlite:///")).unlink()
        response = api.client_of(None).get("/readyz")
        assert (response.status_code, response.json()["database"]) == (503, False)


class TestMetrics:
    def test_the_state_of_the_work(self, api: Api) -> None:
        line = api.line("bot", people(10))
        for number in range(2):
            api.submit_over(api.client, f"p{number}-0")
        found = metrics(api)
        assert found["lethe_requests", frozenset({("state", "queued")})] == 2
        assert found["lethe_requests", frozenset({("state", "succeeded")})] == 0
        assert found["lethe_runs", frozenset({("kind", "influence"), ("state", "queued")})] == 1
        assert found["lethe_oldest_open_request_age_seconds", frozenset()] > 0
        assert found["lethe_outbox_lag", frozenset()] >= 1
        api.serve(line)
        found = metrics(api)
        assert found["lethe_requests", frozenset({("state", "succeeded")})] == 2
        assert found["lethe_oldest_open_request_age_seconds", frozenset()] == 0

    def test_data_that_outlived_their_deadline(self, api: Api) -> None:
        line = api.line("bot", people(10))
        request = api.submit_over(api.client, "p0-0")
        api.serve(line)
        assert metrics(api)["lethe_overdue_shreddings", frozenset()] == 0
        with api.store.write() as unit:
            (target,) = unit.targets.of_request(request)
            target.shred_by = unit.now - timedelta(seconds=1)
        assert metrics(api)["lethe_overdue_shreddings", frozenset()] == 1

    def test_requests_that_are_late_or_nearly_so(self, api: Api) -> None:
        api.line("bot", people(10))
        for number, received in enumerate((-31, -24, -20)):
            moment = (datetime.now(UTC) + timedelta(days=received)).isoformat()
            api.client.post("/v1/unlearning-requests", json=removal(f"p{number}-0", received_at=moment))
        found = metrics(api)
        assert found["lethe_due_soon_requests", frozenset()] == 1
        assert found["lethe_overdue_requests", frozenset()] == 1

    def test_calls_are_measured_by_route_and_never_by_id(self, api: Api) -> None:
        api.line("bot", people(4))
        for path in ("/v1/adapters/bot", "/v1/adapters/nobody", "/v1/adapters/bot?secret=1", "/wp-admin"):
            api.client.get(path)
        found = metrics(api)

        def calls(route: str, status: str) -> float:
            labels = frozenset({("method", "GET"), ("route", route), ("status", status)})
            return found["lethe_http_request_duration_seconds_count", labels]

        assert calls("/v1/adapters/{name}", "200") == 1
        assert calls("/v1/adapters/{name}", "422") == 1
        assert calls("/v1/adapters/{name}", "404") == 1
        assert calls("unknown", "404") == 1
        text = api.client_of(None).get("/metrics").text
        assert "bot" not in text
        assert "wp-admin" not in text


def test_which_version_runs(api: Api) -> None:
    from importlib.metadata import version

    assert api.client_of(None).get("/version").json() == {"version": version("lethe"), "api": "v1"}


def test_the_access_log_has_no_query_strings(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    api.client.get("/v1/unlearning-requests", params={"client_reference": "Jane Doe"})
    api.client.get("/v1/unlearning-requests/jane@example.com")
    messages = [record.getMessage() for record in caplog.records if record.name == "service.api.access"]
    assert [message.rsplit(" ", 2)[0] for message in messages] == [
        "GET /v1/unlearning-requests 200",
        "GET /v1/unlearning-requests/{request_id} 404",
    ]


@pytest.mark.slow
def test_no_torch_and_no_workers() -> None:
    """Also what the service image relies on."""
    import subprocess
    import sys

    program = "import sys, service.api.app; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "peft", "workers", "rq"} & set(loaded)
