"""Adapter lines: their policy, their aliases, rebuilding and withdrawing."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from service.domain.runs import Lane
from service.domain.scopes import Scope
from service.store.tables import Line
from tests.support.api import ADMIN_KEY, Api, assert_problem, removal
from tests.support.house import people

LINE = {"name": "bot", "base_model": {"path": "/models/llama", "revision": "main"}}


class TestCreate:
    def test_a_line_without_versions(self, api: Api) -> None:
        response = api.client.post("/v1/adapters", json={**LINE, "policy": {"complete_at": "E"}, "pool": "gpu-80g"})
        assert response.status_code == 201
        body = response.json()
        assert response.headers["location"] == "/v1/adapters/bot"
        assert body["base_model"] == {"path": "/models/llama", "revision": "main", "digest": None}
        assert [body[key] for key in ("state", "head", "anchor", "aliases", "capabilities", "pool")] == [
            "empty", None, None, {}, [], "gpu-80g",
        ]  # fmt: skip
        assert (body["policy"]["complete_at"], body["policy"]["grace_period_s"]) == ("E", 86_400)
        assert api.client.get("/v1/adapters/bot").json() == body

    def test_a_name_that_is_taken(self, api: Api) -> None:
        api.client.post("/v1/adapters", json=LINE)
        assert_problem(api.client.post("/v1/adapters", json=LINE), 409, "name-taken", field="/name")
        assert api.count(Line) == 1

    @pytest.mark.parametrize("name", ["", "Bot", "bot bot", "../bot", "bot/bot", "-bot", "x" * 64, "bot@v1"])
    def test_a_name_that_is_none(self, api: Api, name: str) -> None:
        response = api.client.post("/v1/adapters", json={**LINE, "name": name})
        assert_problem(response, 422, "invalid-input", field="/name")

    @pytest.mark.parametrize(
        ("policy", "field"),
        [
            ({"max_share": 1.5}, "/policy/max_share"),
            ({"complete_at": "C"}, "/policy/complete_at"),
            ({"max_fidelity": 0.9}, "/policy/max_fidelity"),
            ({"max_drift": 0}, "/policy/max_drift"),
            ({"grace_period_s": -1}, "/policy/grace_period_s"),
            ({"shred_within_s": 1e30}, "/policy/shred_within_s"),
            ({"colour": "red"}, "/policy/colour"),
        ],
    )
    def test_a_policy_that_is_none(self, api: Api, policy: dict[str, object], field: str) -> None:
        response = api.client.post("/v1/adapters", json={**LINE, "policy": policy})
        assert_problem(response, 422, "invalid-input", field=field)


class TestPolicy:
    def test_of_the_canary_too_only_what_is_named_changes(self, api: Api) -> None:
        canary = {"weight": 0.2, "hold_s": 60, "bounds": [{"metric": "error_rate", "at_most": 0.02}]}
        api.client.post("/v1/adapters", json={**LINE, "policy": {"canary": canary}})
        after = api.client.patch("/v1/adapters/bot", json={"policy": {"canary": {"weight": 0.5}}}).json()["policy"]
        assert (after["canary"]["weight"], after["canary"]["hold_s"]) == (0.5, 60)
        assert [bound["metric"] for bound in after["canary"]["bounds"]] == ["error_rate"]

    def test_what_is_named_changes_and_the_rest_stays(self, api: Api) -> None:
        before = api.client.post("/v1/adapters", json=LINE).json()["policy"]
        body = {"policy": {"promotion": "manual", "max_share": None}}
        after = api.client.patch("/v1/adapters/bot", json=body).json()["policy"]
        assert after == {**before, "promotion": "manual"}
        assert api.client.get("/v1/adapters/bot").json()["policy"] == after

    def test_folds_in_idle_time_can_be_switched_on_and_off(self, api: Api) -> None:
        assert api.client.post("/v1/adapters", json=LINE).json()["policy"]["out_of_fold"] is False
        for wanted in (True, False):
            changed = api.client.patch("/v1/adapters/bot", json={"policy": {"out_of_fold": wanted}})
            assert changed.json()["policy"]["out_of_fold"] is wanted

    def test_fidelity_is_judged_until_it_is_unset(self, api: Api) -> None:
        before = api.client.post("/v1/adapters", json=LINE).json()["policy"]
        assert (before["max_fidelity"], before["max_drift"]) == (None, 0.5)
        for change, after in (
            ({"max_fidelity": 1.5, "max_drift": 0.8}, (1.5, 0.8)),
            ({"promotion": "manual", "max_drift": None}, (1.5, 0.8)),
            ({"max_fidelity": None}, (None, 0.8)),
        ):
            policy = api.client.patch("/v1/adapters/bot", json={"policy": change}).json()["policy"]
            assert (policy["max_fidelity"], policy["max_drift"]) == after

    def test_how_long_backups_are_kept_may_be_unknown_again(self, api: Api) -> None:
        assert api.client.post("/v1/adapters", json=LINE).json()["policy"]["backups_kept_s"] is None
        for wanted in (604_800, None):
            changed = api.client.patch("/v1/adapters/bot", json={"policy": {"backups_kept_s": wanted}})
            assert changed.json()["policy"]["backups_kept_s"] == wanted

    def test_a_value_that_is_none(self, api: Api) -> None:
        api.client.post("/v1/adapters", json=LINE)
        response = api.client.patch("/v1/adapters/bot", json={"policy": {"shred_within_s": 0}})
        assert_problem(response, 422, "invalid-input", field="/policy/shred_within_s")

    def test_the_base_model_cannot_change(self, api: Api) -> None:
        api.client.post("/v1/adapters", json=LINE)
        body = {"policy": {}, "base_model": {"path": "/other"}}
        assert_problem(api.client.patch("/v1/adapters/bot", json=body), 422, "invalid-input", field="/base_model")


class TestRetiring:
    def test_a_line_is_gone_and_says_why(self, api: Api) -> None:
        api.line("bot", people(10))
        path = api.client.post("/v1/unlearning-requests", json=removal("p1-0")).headers["location"]
        assert_problem(api.client.post("/v1/adapters/bot/retire", json={}), 422, "invalid-input", field="/reason")
        body = {"reason": "discontinued"}
        reader = api.client_with(Scope.adapters_read)
        assert_problem(reader.post("/v1/adapters/bot/retire", json=body), 403, "missing-scope")
        answer = api.client.post("/v1/adapters/bot/retire", json=body).json()
        assert [answer[key] for key in ("state", "head", "anchor", "aliases", "retired_reason")] == [
            "retired", None, None, {}, "discontinued",
        ]  # fmt: skip
        assert answer["retired_at"]
        assert answer["retired_by"]
        assert api.client.get("/v1/adapters/bot").json() == answer
        assert_problem(api.client.get("/v1/adapters/bot/versions/v1/archive"), 410, "version-withdrawn")
        assert api.client.get(path).json()["state"] == "succeeded"
        (certificate,) = api.client.get(f"{path}/certificates").json()["items"]
        assert (certificate["final"], certificate["claim_level"]) == (True, "E")
        page = api.client.get(f"{path}/report", params={"format": "html"}).text
        assert "Retired: nothing of the line is served any more" in page

    def test_it_takes_nothing_any_more(self, api: Api) -> None:
        api.line("bot", people(10))
        api.client.post("/v1/adapters/bot/retire", json={"reason": "discontinued"})
        named = removal("p1-0", adapters=["bot"])
        for path, body, field in (
            ("/v1/unlearning-requests", named, "/adapters/0"),
            ("/v1/unlearning-plans", named, "/adapters/0"),
            ("/v1/adapters/bot/rebuilds", {}, None),
            ("/v1/adapters/bot/roll-forward-plans", {"version": "v1"}, None),
            ("/v1/adapters/bot/retire", {"reason": "again"}, None),
        ):
            refused = assert_problem(api.client.post(path, json=body), 409, "line-retired", adapter="bot")
            assert refused["fix"]
            assert refused.get("field") == field

    def test_a_key_that_is_bound_to_another_line_does_not_see_it(self, api: Api) -> None:
        api.line("bot", people(10))
        api.line("other", people(4))
        bound = api.client_with(lines=["other"])
        refused = bound.post("/v1/adapters/bot/retire", json={"reason": "discontinued"})
        assert_problem(refused, 404, "unknown-adapter")


class TestAliases:
    @pytest.fixture
    def line(self, api: Api) -> str:
        """v1 remembers, v2 and v3 do not; `production` is at v3."""
        line = api.line("bot", people(10))
        for number in (1, 2):
            api.client.post("/v1/unlearning-requests", json=removal(f"p{number}-0"))
            api.serve(line)
        return line

    def put(self, api: Api, version: str, expected: str | None, alias: str = "staging") -> object:
        return api.client.put(f"/v1/adapters/bot/aliases/{alias}", json={"version": version, "expected": expected})

    def test_a_new_alias(self, api: Api, line: str) -> None:
        response = self.put(api, "v3", None)
        assert response.status_code == 200  # type: ignore[attr-defined]
        body = response.json()  # type: ignore[attr-defined]
        assert [body[key] for key in ("adapter", "alias", "version", "id")] == ["bot", "staging", "v3", "bot@v3"]
        assert api.client.get("/v1/adapters/bot/aliases/staging").json() == body
        names = [item["alias"] for item in api.client.get("/v1/adapters/bot/aliases").json()["items"]]
        assert names == ["production", "staging"]

    @pytest.mark.parametrize("expected", [None, "v1", "v2"])
    def test_it_moves_only_from_where_the_caller_thinks_it_is(self, api: Api, line: str, expected: str | None) -> None:
        response = self.put(api, "v3", expected, alias="production")
        assert_problem(response, 409, "alias-moved", present="v3", field="/expected")  # type: ignore[arg-type]

    def test_expected_must_be_said(self, api: Api, line: str) -> None:
        response = api.client.put("/v1/adapters/bot/aliases/staging", json={"version": "v3"})
        assert_problem(response, 422, "invalid-input", field="/expected")

    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_never_to_a_version_that_would_undo_an_erasure(self, api: Api, line: str, version: str) -> None:
        response = self.put(api, version, "v3", alias="production")
        assert_problem(response, 409, "undoes-erasure", lowest_allowed="v3", field="/version")  # type: ignore[arg-type]
        assert api.client.get("/v1/adapters/bot/aliases/production").json()["version"] == "v3"

    def test_never_to_a_withdrawn_version(self, api: Api, line: str) -> None:
        assert api.client.post("/v1/adapters/bot/withdraw", json={"versions": ["v2"]}).status_code == 200
        assert_problem(self.put(api, "v2", None), 410, "version-withdrawn")  # type: ignore[arg-type]

    def test_never_to_a_version_in_preparation(self, api: Api) -> None:
        api.client.post("/v1/adapters", json=LINE)
        dataset = api.upload(people(3))
        api.client.post("/v1/adapters/bot/versions", json={"source": {"type": "train", "dataset": dataset}})
        assert_problem(self.put(api, "v1", None), 409, "version-not-ready")  # type: ignore[arg-type]

    def test_an_unknown_version(self, api: Api, line: str) -> None:
        assert_problem(self.put(api, "v9", None), 404, "unknown-version")  # type: ignore[arg-type]

    @pytest.mark.parametrize("alias", ["v3", "v12"])
    def test_a_name_that_means_a_version(self, api: Api, line: str, alias: str) -> None:
        assert_problem(self.put(api, "v3", None, alias=alias), 422, "reserved-alias")  # type: ignore[arg-type]

    def test_a_name_that_is_none(self, api: Api, line: str) -> None:
        assert_problem(self.put(api, "v3", None, alias="Prod"), 422, "invalid-input", field="alias")  # type: ignore[arg-type]

    def test_a_version_may_be_named_by_another_alias(self, api: Api, line: str) -> None:
        assert self.put(api, "production", None).json()["version"] == "v3"  # type: ignore[attr-defined]

    def test_removal(self, api: Api, line: str) -> None:
        self.put(api, "v3", None)
        response = api.client.delete("/v1/adapters/bot/aliases/staging")
        assert (response.status_code, response.content) == (204, b"")
        assert_problem(api.client.delete("/v1/adapters/bot/aliases/staging"), 404, "unknown-alias")
        assert_problem(api.client.get("/v1/adapters/bot/versions/staging"), 404, "unknown-version")

    def test_of_racing_moves_one_wins(self, api_on_both: Api) -> None:
        api = api_on_both
        api.line("bot", people(10), promotion="manual")
        clients = [api.client_of(ADMIN_KEY) for _ in range(6)]

        def move(client: object) -> int:
            body = {"version": "v1", "expected": None}
            return client.put("/v1/adapters/bot/aliases/canary", json=body).status_code  # type: ignore[attr-defined, no-any-return]

        with ThreadPoolExecutor(len(clients)) as pool:
            assert sorted(pool.map(move, clients)) == [200, 409, 409, 409, 409, 409]


class TestRebuild:
    def test_a_run_is_queued(self, api: Api) -> None:
        line = api.line("bot", people(10))
        response = api.client.post("/v1/adapters/bot/rebuilds")
        assert response.status_code == 202
        body = response.json()
        assert response.headers["location"] == f"/v1/runs/{body['id']}"
        assert [body[key] for key in ("kind", "strategy", "state", "waiting_for")] == [
            "rebuild", "rebuild", "queued", "worker in pool default",
        ]  # fmt: skip
        assert api.queued_run(line, Lane.compact) == body["id"]

    def test_one_at_a_time(self, api: Api) -> None:
        api.line("bot", people(10))
        api.client.post("/v1/adapters/bot/rebuilds")
        assert_problem(api.client.post("/v1/adapters/bot/rebuilds"), 409, "line-busy")

    def test_a_line_without_a_recipe(self, api: Api) -> None:
        api.line("bot", people(10), recipe=None)
        assert_problem(api.client.post("/v1/adapters/bot/rebuilds"), 409, "not-rebuildable")

    def test_a_line_without_versions(self, api: Api) -> None:
        api.client.post("/v1/adapters", json=LINE)
        assert_problem(api.client.post("/v1/adapters/bot/rebuilds"), 409, "not-rebuildable")

    def test_it_makes_the_requests_exact(self, api: Api) -> None:
        line = api.line("bot", people(10))
        request = api.client.post("/v1/unlearning-requests", json=removal("p1-0")).headers["location"]
        api.serve(line)
        assert api.client.get(request).json()["targets"][0]["claim_level"] == "M"
        run = api.client.post("/v1/adapters/bot/rebuilds").json()["id"]
        claimed = api.claim(run)
        assert claimed is not None
        api.rebuild(claimed)
        target = api.client.get(request).json()["targets"][0]
        assert (target["claim_level"], target["version"]) == ("E", "v3")
        certificates = api.client.get(f"{request}/certificates").json()["items"]
        assert [(c["claim_level"], c["final"]) for c in certificates] == [("E", True), ("M", False)]
        assert certificates[0]["supersedes"] == certificates[1]["id"]
        runs = api.client.get(f"{request}/report").json()["targets"][0]["runs"]
        assert [(item["kind"], item["version"]) for item in runs] == [("rebuild", "v3"), ("influence", "v2")]


class TestWithdraw:
    def test_versions_go_out_of_service(self, api: Api) -> None:
        line = api.line("bot", people(10))
        for number in (1, 2):
            api.client.post("/v1/unlearning-requests", json=removal(f"p{number}-0"))
            api.serve(line)
        response = api.client.post("/v1/adapters/bot/withdraw", json={"versions": ["v1", "v2"]})
        states = [(item["version"], item["state"]) for item in response.json()["items"]]
        assert states == [("v1", "quarantined"), ("v2", "withdrawn")]

    def test_not_what_is_in_use(self, api: Api) -> None:
        line = api.line("bot", people(10))
        api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
        api.serve(line)
        response = api.client.post("/v1/adapters/bot/withdraw", json={"versions": ["v1", "v2"]})
        assert_problem(response, 409, "version-in-use", field="/versions/1")
        assert api.client.get("/v1/adapters/bot/versions/v1").json()["state"] == "ready"

    def test_nothing_named(self, api: Api) -> None:
        api.line("bot", people(10))
        response = api.client.post("/v1/adapters/bot/withdraw", json={"versions": []})
        assert_problem(response, 422, "invalid-input", field="/versions")
