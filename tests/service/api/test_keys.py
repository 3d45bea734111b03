"""API keys: shown once, revoked at once, never stronger than their maker, blind to foreign lines."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from service.domain.scopes import Scope
from service.evidence.tokens import new_token, well_formed
from service.flows.keys import ensure_admin_key
from service.store.tables import ApiKey, ApiToken
from tests.support.api import ADMIN_KEY, EVERY_SCOPE, NDJSON, Api, assert_problem, erasure, jsonl, removal
from tests.support.api_server import served
from tests.support.house import people
from tests.support.statements import statements

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

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", f"Basic {ADMIN_KEY}", ADMIN_KEY])
    def test_headers_that_carry_no_key(self, api: Api, header: str) -> None:
        response = api.client_of(None).get("/v1/runs", headers={"Authorization": header})
        assert_problem(response, 401, "unauthenticated")


class TestForm:
    """What cannot be a key is refused without a look into the database."""

    @pytest.mark.parametrize(
        "credential",
        ["x", "lethe_x", f"{ADMIN_KEY}x", "ghp_" + "0" * 36, "lethe_" + "0" * 38, "lethe_" + "é" * 38, "0" * 5000],
    )
    def test_a_wrong_form_or_checksum(self, api: Api, credential: str) -> None:
        header = f"Bearer {credential}".encode("latin-1")
        with statements(api.store) as executed:
            response = api.client_of(None).get("/v1/runs", headers={b"Authorization": header})
        assert_problem(response, 401, "malformed-key")
        assert executed == []

    def test_a_mistyped_one(self, api: Api) -> None:
        token = api.token_of()
        wrong = token[:10] + ("a" if token[10] != "a" else "b") + token[11:]
        assert_problem(api.client_of(wrong).get("/v1/runs"), 401, "malformed-key")

    def test_one_that_is_made_up_well(self, api: Api) -> None:
        with statements(api.store) as executed:
            assert_problem(api.client_of(new_token()).get("/v1/runs"), 401, "unauthenticated")
        assert executed

    def test_the_one_of_the_settings_may_have_any_form(self, sqlite_url: str, tmp_path: Path) -> None:
        for key in ("three.parts.like-a-token-of-a-provider", "lethe_" + "0" * 38, "words, and more than 24 long"):
            api = Api(tmp_path / "home", sqlite_url, admin_key=key)
            header = {b"Authorization": f"Bearer {key}".encode("latin-1")}
            assert api.client_of(None).get("/v1/runs", headers=header).status_code == 200
            api.store.close()


class TestRotate:
    """Another token for the same key, and both work for a while."""

    def made(self, api: Api, *scopes: str) -> dict[str, str]:
        made: dict[str, str] = api.client.post(URL, json={"name": "k", "scopes": scopes or ["runs:read"]}).json()
        return made

    def test_both_work_until_the_overlap_ends(self, api_on_both: Api) -> None:
        api, made = api_on_both, self.made(api_on_both)
        response = api.client.post(f"{URL}/{made['id']}/rotate", json={"overlap_s": 60})
        assert response.status_code == 201
        new = response.json()
        assert (new["id"], new["scopes"], new["token"] != made["token"]) == (made["id"], ["runs:read"], True)
        assert well_formed(new["token"])
        left = datetime.fromisoformat(new["previous_until"]) - datetime.now(UTC)
        assert timedelta(seconds=30) < left <= timedelta(seconds=60)
        for token in (made["token"], new["token"]):
            assert api.client_of(token).get("/v1/runs").status_code == 200
        self.let_overlap_end(api, made["id"])
        assert_problem(api.client_of(made["token"]).get("/v1/runs"), 401, "key-replaced")
        assert api.client_of(new["token"]).get("/v1/runs").status_code == 200

    def test_without_an_overlap_the_one_before_ends_at_once(self, api: Api) -> None:
        made = self.made(api)
        new = api.client.post(f"{URL}/{made['id']}/rotate", json={"overlap_s": 0}).json()
        assert_problem(api.client_of(made["token"]).get("/v1/runs"), 401, "key-replaced")
        assert api.client_of(new["token"]).get("/v1/runs").status_code == 200

    def test_a_day_is_the_default_and_a_second_rotation_prolongs_nothing(self, api: Api) -> None:
        made = self.made(api)
        first = api.client.post(f"{URL}/{made['id']}/rotate").json()
        assert datetime.fromisoformat(first["previous_until"]) > datetime.now(UTC) + timedelta(hours=23)
        api.client.post(f"{URL}/{made['id']}/rotate", json={"overlap_s": 0})
        api.client.post(f"{URL}/{made['id']}/rotate", json={"overlap_s": 3600})
        for token in (made["token"], first["token"]):
            assert_problem(api.client_of(token).get("/v1/runs"), 401, "key-replaced")

    def test_it_is_shown_once(self, api: Api) -> None:
        made, header = self.made(api), {"Idempotency-Key": "once"}
        first = api.client.post(f"{URL}/{made['id']}/rotate", headers=header).json()
        again = api.client.post(f"{URL}/{made['id']}/rotate", headers=header).json()
        assert first["token"] is not None
        assert again == {**first, "token": None}
        assert api.client_of(first["token"]).get("/v1/runs").status_code == 200

    def test_the_caller_cannot_get_more_scopes_by_it(self, api: Api) -> None:
        strong = self.made(api, "audit:read")
        weak = api.client_with(Scope.keys_manage)
        response = weak.post(f"{URL}/{strong['id']}/rotate")
        assert_problem(response, 403, "scope-not-held", scopes=["audit:read"])
        assert api.client_of(strong["token"]).get("/v1/audit").status_code == 200

    def test_revoking_ends_every_token(self, api: Api) -> None:
        made = self.made(api)
        new = api.client.post(f"{URL}/{made['id']}/rotate").json()
        api.client.delete(f"{URL}/{made['id']}")
        for token in (made["token"], new["token"]):
            assert_problem(api.client_of(token).get("/v1/runs"), 401, "unauthenticated")
        assert_problem(api.client.post(f"{URL}/{made['id']}/rotate"), 409, "key-ended")

    def test_an_expired_one_is_not_prolonged(self, api: Api) -> None:
        made = self.made(api)
        with api.store.write() as unit:
            key = unit.access.key(made["id"])
            assert key is not None
            key.expires_at = datetime.now(UTC) - timedelta(seconds=1)
        assert_problem(api.client.post(f"{URL}/{made['id']}/rotate"), 409, "key-ended")

    @pytest.mark.parametrize("overlap", [-1, 30 * 86_400 + 1, "a while"])
    def test_overlaps_that_are_none(self, api: Api, overlap: object) -> None:
        made = self.made(api)
        response = api.client.post(f"{URL}/{made['id']}/rotate", json={"overlap_s": overlap})
        assert_problem(response, 422, "invalid-input", field="/overlap_s")

    def test_there_is_no_such_key(self, api: Api) -> None:
        assert_problem(api.client.post(f"{URL}/key_0/rotate"), 404, "unknown-key")

    def test_the_audit_chain_tells_of_it(self, api: Api) -> None:
        made = self.made(api)
        api.client.post(f"{URL}/{made['id']}/rotate", json={"overlap_s": 5})
        (row,) = (row for row in api.client.get("/v1/audit").json()["items"] if row["action"] == "key.rotated")
        assert row["data"] == {"key": made["id"], "overlap_s": 5}

    @staticmethod
    def let_overlap_end(api: Api, key_id: str) -> None:
        with api.store.write() as unit:
            for token in unit.access.tokens(key_id):
                if token.expires_at is not None:
                    token.expires_at = datetime.now(UTC) - timedelta(seconds=1)


class TestLastUse:
    def test_it_is_written_by_the_minute_and_not_by_the_call(self, api_on_both: Api) -> None:
        api = api_on_both
        made = api.client.post(URL, json={"name": "k", "scopes": ["runs:read"]}).json()
        assert self.last_used(api, made["id"]) is None
        client = api.client_of(made["token"])
        with statements(api.store) as executed:
            for _ in range(3):
                client.get("/v1/runs")
        assert not any("UPDATE" in statement for statement in executed)
        api.app.state.context.last_used.write()
        used = self.last_used(api, made["id"])
        assert used is not None
        assert abs(datetime.fromisoformat(used) - datetime.now(UTC)) < timedelta(minutes=1)

    def test_a_wrong_key_uses_nothing(self, api: Api) -> None:
        made = api.client.post(URL, json={"name": "k", "scopes": ["runs:read"]}).json()
        api.client.delete(f"{URL}/{made['id']}")
        api.client_of(made["token"]).get("/v1/runs")
        api.app.state.context.last_used.write()
        assert self.last_used(api, made["id"]) is None

    def test_a_server_that_stops_writes_it_down(self, api: Api) -> None:
        made = api.client.post(URL, json={"name": "k", "scopes": ["runs:read"]}).json()
        with served(api.app) as url:
            httpx.get(f"{url}/v1/runs", headers={"Authorization": f"Bearer {made['token']}"}).raise_for_status()
        assert self.last_used(api, made["id"]) is not None

    @staticmethod
    def last_used(api: Api, key_id: str) -> str | None:
        (found,) = (key for key in api.client.get(URL).json()["items"] if key["id"] == key_id)
        moment: str | None = found["last_used_at"]
        return moment


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

    def test_nor_does_a_replaced_one(self, api: Api) -> None:
        (key,) = api.client.get(URL).json()["items"]
        new = api.client.post(f"{URL}/{key['id']}/rotate", json={"overlap_s": 0}).json()
        newest = api.client_of(new["token"]).post(f"{URL}/{key['id']}/rotate", json={"overlap_s": 0}).json()
        api.app_of()
        assert_problem(api.client.get(URL), 401, "key-replaced")
        assert api.client_of(newest["token"]).get(URL).status_code == 200
        assert api.count(ApiKey) == 1

    def test_without_a_setting_one_is_made_and_told_once(self, api: Api) -> None:
        with api.store.write() as unit:
            unit.session.query(ApiToken).delete()
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
