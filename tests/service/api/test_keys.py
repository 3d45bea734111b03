"""API keys: shown once, revoked at once, never stronger than their maker, blind to foreign lines."""

from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from service.domain.scopes import Scope
from service.evidence.tokens import well_formed
from service.flows.keys import ensure_admin_key
from service.store.tables import ApiKey
from tests.support.api import ADMIN_KEY, EVERY_SCOPE, NDJSON, Api, assert_problem, erasure, jsonl, removal
from tests.support.house import people

URL = "/v1/keys"


class TestCreate:
    def test_it_is_shown_once_and_works(self, api: Api) -> None:
        response = api.client.post(URL, json={"name": "privacy desk", "scopes": ["runs:read", "requests:read"]})
        assert response.status_code == 201
        body = response.json()
        assert well_formed(body["token"])
        assert (body["scopes"], body["lines"], body["revoked_at"]) == (["requests:read", "runs:read"], None, None)
        assert body["token"] not in api.client.get(URL).text
        fresh = api.client_of(body["token"])
        assert fresh.get("/v1/runs").status_code == 200
        assert_problem(fresh.get("/v1/adapters"), 403, "missing-scope", scope="adapters:read")

    def test_the_database_holds_no_token(self, api: Api) -> None:
        token = api.client.post(URL, json={"name": "k", "scopes": ["runs:read"]}).json()["token"]
        with api.store.read() as unit:
            rows = [vars(unit.access.key(key.id)) for key in unit.access.keys(after=None, limit=10).items]
        assert token not in str(rows)
        assert ADMIN_KEY not in str(rows)

    def test_it_can_do_no_more_than_its_maker(self, api: Api) -> None:
        maker = api.client_with(Scope.keys_manage, Scope.runs_read)
        assert maker.post(URL, json={"name": "k", "scopes": ["runs:read"]}).status_code == 201
        response = maker.post(URL, json={"name": "k", "scopes": ["runs:read", "audit:read"]})
        assert_problem(response, 403, "scope-not-held", scopes=["audit:read"], field="/scopes")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"name": "k", "scopes": []}, "/scopes"),
            ({"name": "k", "scopes": ["everything"]}, "/scopes/0"),
            ({"name": "", "scopes": ["runs:read"]}, "/name"),
            ({"name": "k", "scopes": ["runs:read"], "lines": ["../"]}, "/lines/0"),
            ({"name": "k", "scopes": ["runs:read"], "expires_at": "soon"}, "/expires_at"),
        ],
    )
    def test_one_that_is_none(self, api: Api, body: dict[str, object], field: str) -> None:
        assert_problem(api.client.post(URL, json=body), 422, "invalid-input", field=field)


class TestEnd:
    def test_revoking_works_at_once_and_twice(self, api: Api) -> None:
        made = api.client.post(URL, json={"name": "k", "scopes": ["runs:read"]}).json()
        client = api.client_of(made["token"])
        assert client.get("/v1/runs").status_code == 200
        for _ in range(2):
            assert api.client.delete(f"{URL}/{made['id']}").status_code == 204
        assert_problem(client.get("/v1/runs"), 401, "unauthenticated")
        listed = {item["id"]: item["revoked_at"] for item in api.client.get(URL).json()["items"]}
        assert listed[made["id"]]

    def test_an_expired_one(self, api: Api) -> None:
        soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        made = api.client.post(URL, json={"name": "k", "scopes": ["runs:read"], "expires_at": soon}).json()
        client = api.client_of(made["token"])
        assert client.get("/v1/runs").status_code == 200
        with api.store.write() as unit:
            key = unit.access.key(made["id"])
            assert key is not None
            key.expires_at = datetime.now(UTC) - timedelta(seconds=1)
        assert_problem(client.get("/v1/runs"), 401, "key-expired")

    @pytest.mark.parametrize(
        "header", ["", "Bearer", "Bearer ", "Bearer lethe_x", f"Basic {ADMIN_KEY}", ADMIN_KEY, f"Bearer {ADMIN_KEY}x"]
    )
    def test_headers_that_carry_no_key(self, api: Api, header: str) -> None:
        response = api.client_of(None).get("/v1/runs", headers={"Authorization": header})
        assert_problem(response, 401, "unauthenticated")


class TestFirstKey:
    def test_the_one_of_the_settings_has_every_scope(self, api: Api) -> None:
        (key,) = api.client.get(URL).json()["items"]
        assert set(key["scopes"]) == EVERY_SCOPE
        api.app_of()
        assert api.count(ApiKey) == 1

    def test_a_revoked_one_does_not_rise_again(self, api: Api) -> None:
        (key,) = api.client.get(URL).json()["items"]
        api.client.delete(f"{URL}/{key['id']}")
        api.app_of()
        assert_problem(api.client.get(URL), 401, "unauthenticated")

    def test_without_a_setting_one_is_made_and_told_once(self, api: Api) -> None:
        with api.store.write() as unit:
            unit.session.query(ApiKey).delete()
            token = ensure_admin_key(unit, api.vault, None)
        assert token is not None
        with api.store.write() as unit:
            assert ensure_admin_key(unit, api.vault, None) is None
        assert api.client_of(token).get(URL).status_code == 200


class TestBoundKeys:
    """A key that is bound to `mine` lives in a world without `theirs`."""

    @pytest.fixture
    def bound(self, api: Api) -> TestClient:
        api.line("mine", people(10))
        api.line("theirs", people(10))
        return api.client_with(lines=["mine"])

    def test_lines(self, api: Api, bound: TestClient) -> None:
        assert [item["name"] for item in bound.get("/v1/adapters").json()["items"]] == ["mine"]
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"policy": {}}),
            ("GET", "/versions", None),
            ("GET", "/versions/v1", None),
            ("GET", "/versions/v1/archive", None),
            ("GET", "/aliases", None),
            ("GET", "/aliases/production", None),
            ("PUT", "/aliases/x", {"version": "v1", "expected": None}),
            ("DELETE", "/aliases/production", None),
            ("POST", "/rebuilds", None),
            ("POST", "/withdraw", {"versions": ["v1"]}),
            ("POST", "/versions", {"source": {"type": "train", "dataset": "ds_0"}}),
        ):
            response = bound.request(method, f"/v1/adapters/theirs{path}", json=body)
            assert_problem(response, 404, "unknown-adapter")
        assert bound.get("/v1/adapters/mine/versions/v1/archive").status_code == 200

    def test_it_makes_lines_of_its_names_only(self, api: Api) -> None:
        bound = api.client_with(lines=["mine"])
        for name, status in (("theirs", 403), ("mine", 201)):
            body = {"name": name, "base_model": {"path": "/base"}}
            assert bound.post("/v1/adapters", json=body).status_code == status

    def test_requests_reach_its_lines_only(self, api: Api, bound: TestClient) -> None:
        mine = bound.post("/v1/unlearning-requests", json=erasure("Person 1")).json()
        assert [target["adapter"] for target in mine["targets"]] == ["mine"]
        plan = bound.post("/v1/unlearning-plans", json=erasure("Person 2")).json()
        assert [line["adapter"] for line in plan["lines"]] == ["mine"]
        named = bound.post("/v1/unlearning-requests", json=removal("p2-0", adapters=["theirs"]))
        assert_problem(named, 404, "unknown-adapter", field="/adapters/0")

    def test_what_it_erased_binds_its_lines_only(self, api: Api, bound: TestClient) -> None:
        bound.post("/v1/unlearning-requests", json=erasure("Person 1"))
        with api.store.read() as unit:
            line = unit.lines.by_name("mine")
            assert line is not None
        api.serve(line.id)
        for name, status in (("fresh", 202), ("mine", 409)):
            api.client.post("/v1/adapters", json={"name": name, "base_model": {"path": "/base"}})
            body = {"source": {"type": "train", "dataset": api.upload(people(10))}}
            assert api.client.post(f"/v1/adapters/{name}/versions", json=body).status_code == status

    def test_requests_of_others(self, api: Api, bound: TestClient) -> None:
        wholly = api.client.post("/v1/unlearning-requests", json=removal("p1-0", adapters=["mine"])).json()["id"]
        partly = api.client.post("/v1/unlearning-requests", json=removal("p2-0")).json()["id"]
        foreign = api.client.post("/v1/unlearning-requests", json=removal("p3-0", adapters=["theirs"])).json()["id"]
        assert [item["id"] for item in bound.get("/v1/unlearning-requests").json()["items"]] == [wholly]
        for request in (partly, foreign):
            for part in ("", "/report", "/receipt", "/certificates"):
                assert_problem(bound.get(f"/v1/unlearning-requests/{request}{part}"), 404, "unknown-request")
            for verb in ("approve", "cancel", "hold", "release", "retry"):
                response = bound.post(f"/v1/unlearning-requests/{request}/{verb}")
                assert_problem(response, 404, "unknown-request")
        assert_problem(bound.get("/v1/unlearning-requests", params={"adapter": "theirs"}), 404, "unknown-adapter")

    def test_runs_and_events(self, api: Api, bound: TestClient) -> None:
        runs = {run["adapter"]: run["id"] for run in api.client.get("/v1/runs").json()["items"]}
        assert [run["adapter"] for run in bound.get("/v1/runs").json()["items"]] == ["mine"]
        assert bound.get(f"/v1/runs/{runs['mine']}").status_code == 200
        assert_problem(bound.get(f"/v1/runs/{runs['theirs']}"), 404, "unknown-run")
        assert_problem(bound.get("/v1/runs", params={"adapter": "theirs"}), 404, "unknown-adapter")
        api.submit_over(api.client)
        assert {event["adapter"] for event in bound.get("/v1/events").json()["items"]} == {"mine"}
        assert bound.get("/v1/events", params={"adapter": "theirs"}).json()["items"] == []

    def test_datasets(self, api: Api, bound: TestClient) -> None:
        visible = {item["id"] for item in bound.get("/v1/datasets").json()["items"]}
        used = bound.get("/v1/adapters/mine/versions/v1").json()
        assert visible == {used["dataset"], used["holdout"]}
        foreign = api.client.get("/v1/adapters/theirs/versions/v1").json()["dataset"]
        assert_problem(bound.get(f"/v1/datasets/{foreign}"), 404, "unknown-dataset")
        body = {"source": {"type": "train", "dataset": foreign}}
        assert_problem(bound.post("/v1/adapters/mine/versions", json=body), 404, "unknown-dataset")
        own = bound.post("/v1/datasets", content=jsonl(people(2)), headers=NDJSON).json()["id"]
        assert bound.get(f"/v1/datasets/{own}").status_code == 200

    def test_what_concerns_the_whole_deployment(self, api: Api, bound: TestClient) -> None:
        assert_problem(bound.get("/v1/audit"), 403, "key-is-bound")
        assert_problem(bound.get(URL), 403, "key-is-bound")
        assert_problem(bound.post(URL, json={"name": "k", "scopes": ["runs:read"]}), 403, "key-is-bound")
        assert_problem(bound.delete(f"{URL}/key_0"), 403, "key-is-bound")
