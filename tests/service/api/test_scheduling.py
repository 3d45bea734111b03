"""What clients see and say of when runs begin."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.runs import Lane
from service.flows.compact import compact_due
from tests.support.api import Api, assert_problem, removal
from tests.support.house import people

REQUESTS = "/v1/unlearning-requests"
BERLIN = {"zone": "Europe/Berlin"}


def around_now(*, hours: int = 2) -> dict[str, str]:
    """Quiet hours that began a while ago and last for a while."""
    now = datetime.now(UTC)
    return {"from": f"{now - timedelta(hours=1):%H:%M}", "to": f"{now + timedelta(hours=hours):%H:%M}", "zone": "UTC"}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class TestPolicy:
    def test_windows_are_set_and_unset(self, api: Api) -> None:
        api.line("bot", people(4), rebuild_after_count=5)
        change = {"coalesce_s": 2, "quiet_hours": [{**BERLIN, "from": "08:00", "to": "20:00", "days": ["mon", "tue"]}]}
        policy = api.client.patch("/v1/adapters/bot", json={"policy": change}).json()["policy"]
        assert {name: policy[name] for name in change} == change
        assert policy["rebuild_after_count"] == 5
        unset = {"coalesce_s": 0, "quiet_hours": [], "rebuild_after_count": None}
        policy = api.client.patch("/v1/adapters/bot", json={"policy": unset}).json()["policy"]
        assert {name: policy[name] for name in unset} == unset

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"coalesce_s": -1}, "/policy/coalesce_s"),
            ({"coalesce_s": 1e9}, "/policy/coalesce_s"),
            ({"rebuild_after_count": 0}, "/policy/rebuild_after_count"),
            ({"quiet_hours": [{**BERLIN, "from": "8", "to": "20:00"}]}, "/policy/quiet_hours/0/from"),
            ({"quiet_hours": [{**BERLIN, "from": "08:00"}]}, "/policy/quiet_hours/0/to"),
            ({"quiet_hours": [{"zone": "Moon/Base", "from": "08:00", "to": "20:00"}]}, "/policy/quiet_hours/0/zone"),
            ({"quiet_hours": [{**BERLIN, "from": "08:00", "to": "20:00", "days": []}]}, "/policy/quiet_hours/0/days"),
            ({"quiet_hours": [{**BERLIN, "from": "08:00", "to": "08:00"}]}, "/policy/quiet_hours"),
            ({"quiet_hours": [{**BERLIN, "from": "00:00", "to": f"{n:02}:00"} for n in range(1, 23)]},
             "/policy/quiet_hours"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_kept_is_refused_and_changes_nothing(
        self, api: Api, change: dict[str, object], field: str
    ) -> None:
        api.line("bot", people(4))
        before = api.client.get("/v1/adapters/bot").json()
        refused = api.client.patch("/v1/adapters/bot", json={"policy": {"promotion": "manual", **change}})
        assert_problem(refused, 422, "invalid-input", field=field)
        assert "Moon" not in refused.text
        assert api.client.get("/v1/adapters/bot").json() == before

    def test_hours_that_leave_no_time_say_so(self, api: Api) -> None:
        api.line("bot", people(4))
        halves = [{**BERLIN, "from": "00:00", "to": "12:00"}, {**BERLIN, "from": "12:00", "to": "00:00"}]
        refused = api.client.patch("/v1/adapters/bot", json={"policy": {"quiet_hours": halves}}).json()
        assert "leave no time in a week" in refused["detail"]


class TestWaiting:
    def test_a_window_is_told_in_plan_request_and_run(self, api: Api) -> None:
        line = api.line("bot", people(10), coalesce_s=600)
        (planned,) = api.client.post("/v1/unlearning-plans", json=removal("p1-0")).json()["lines"]
        request = api.client.post(REQUESTS, json=removal("p1-0")).json()
        assert request["urgent"] is False
        (target,) = request["targets"]
        run = api.client.get(f"/v1/runs/{api.queued_run(line)}").json()
        assert planned["waiting_for"] == target["waiting_for"] == run["waiting_for"] == "window"
        assert target["not_before"] == run["not_before"]
        assert moment(run["not_before"]) - moment(run["created_at"]) == timedelta(seconds=600)
        assert abs(moment(planned["starts_at"]) - moment(run["not_before"])) < timedelta(seconds=60)

    def test_so_are_quiet_hours(self, api: Api) -> None:
        line = api.line("bot", people(10), quiet_hours=[around_now()])
        (target,) = api.client.post(REQUESTS, json=removal("p1-0")).json()["targets"]
        assert target["waiting_for"] == "quiet_hours"
        run_id = str(api.queued_run(line))
        assert api.client.get(f"/v1/runs/{run_id}").json()["waiting_for"] == "quiet_hours"
        assert api.claim(run_id) is None

    def test_an_urgent_request_waits_for_neither(self, api: Api) -> None:
        line = api.line("bot", people(10), coalesce_s=600, quiet_hours=[around_now()])
        patient = api.submit_over(api.client)
        (planned,) = api.client.post("/v1/unlearning-plans", json=removal("p2-0", urgent=True)).json()["lines"]
        assert planned["waiting_for"] is None
        request = api.client.post(REQUESTS, json=removal("p2-0", urgent=True)).json()
        assert request["urgent"] is True
        for read in (request, api.client.get(f"{REQUESTS}/{patient}").json()):
            (target,) = read["targets"]
            assert (target["not_before"], target["waiting_for"]) == (None, None)
        api.serve(line)
        done = api.client.get(f"{REQUESTS}/{patient}").json()
        assert (done["state"], done["targets"][0]["waiting_for"]) == ("succeeded", None)

    def test_what_is_on_hold_waits_for_no_run(self, api: Api) -> None:
        api.line("bot", people(10), coalesce_s=600)
        request = api.submit_over(api.client)
        (target,) = api.client.post(f"{REQUESTS}/{request}/hold").json()["targets"]
        assert (target["not_before"], target["waiting_for"]) == (None, None)

    @pytest.mark.parametrize("urgent", ["very", 2, None])
    def test_urgent_is_yes_or_no(self, api: Api, urgent: object) -> None:
        api.line("bot", people(4))
        response = api.client.post(REQUESTS, json=removal("p1-0", urgent=urgent))
        assert_problem(response, 422, "invalid-input", field="/urgent")


class TestCompaction:
    def test_a_line_tells_when_and_why_and_so_does_the_run(self, api: Api) -> None:
        line = api.line("bot", people(10), rebuild_after_count=2)
        assert api.client.get("/v1/adapters/bot").json()["compaction"] is None
        api.submit_over(api.client)
        api.serve(line)
        read = api.client.get("/v1/adapters/bot").json()
        assert read["compaction"] == {"due_at": read["rebuild_due_at"], "because": "age"}
        api.submit_over(api.client, "p2-0")
        api.serve(line)
        assert api.client.get("/v1/adapters/bot").json()["compaction"]["because"] == "count"
        with api.store.write() as unit:
            compact_due(unit)
        run = api.client.get(f"/v1/runs/{api.queued_run(line, Lane.compact)}").json()
        assert (run["because"], run["not_before"]) == ("count", None)

    def test_a_rebuild_that_is_asked_for_begins_in_quiet_hours(self, api: Api) -> None:
        api.line("bot", people(10), quiet_hours=[around_now()])
        run = api.client.post("/v1/adapters/bot/rebuilds").json()
        assert (run["because"], run["not_before"]) == (None, None)
        assert api.claim(run["id"]) is not None
