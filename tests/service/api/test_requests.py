"""Unlearning requests over HTTP: filed, followed, proven; and every way to file a bad one."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.domain.engine import EngineFailure, FailureClass
from service.domain.runs import Lane
from service.flows.fail import fail
from service.store.tables import OperationRow, Target, UnlearningRequest
from tests.support.api import ADMIN_KEY, Api, assert_problem, correction, erasure, removal
from tests.support.filing import URL, file, filed, statement
from tests.support.house import people


class TestFiling:
    def test_the_answer_says_what_will_happen_and_proves_receipt(self, api: Api, line: str) -> None:
        received = datetime(2026, 1, 31, 12, tzinfo=UTC)
        body = erasure(" PERSON 1 ", client_reference="DSR-1", regulation="gdpr", received_at=received.isoformat())
        response = file(api, body)
        assert response.status_code == 202
        answer = response.json()
        assert response.headers["location"] == f"{URL}/{answer['id']}"
        assert response.headers["retry-after"] == "1"
        assert [answer[key] for key in ("state", "is_terminal", "outcome", "on_hold", "client_reference")] == [
            "queued", False, None, False, "DSR-1",
        ]  # fmt: skip
        assert datetime.fromisoformat(answer["due_at"]) == datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC)
        assert answer["operation_counts"] == {"remove": 1}
        (target,) = answer["targets"]
        assert [target[key] for key in ("adapter", "state", "strategy", "instance_count", "version")] == [
            "bot", "queued", "influence", 2, None,
        ]  # fmt: skip
        assert statement(api, answer["receipt"])["predicate"]["request"] == answer["id"]

    def test_reading_it_back(self, api: Api, line: str) -> None:
        answer = file(api, removal("p1-0")).json()
        receipt = answer.pop("receipt")
        assert api.client.get(answer["links"]["self"]).json() == answer
        assert api.client.get(answer["links"]["receipt"]).json() == {"request": answer["id"], "envelope": receipt}
        for link in ("report", "certificates", "events"):
            assert api.client.get(answer["links"][link]).status_code == 200

    def test_all_three_operations_at_once(self, api: Api, line: str) -> None:
        operations = [
            {"type": "remove", "select": {"subject": "Person 1"}},
            {"type": "modify_query", "instance_id": "p2-0", "prompt": "Another question?"},
            {"type": "correct_response", "instance_id": "p3-0", "completion": "Another answer."},
        ]
        answer = file(api, {"operations": operations}).json()
        assert answer["operation_counts"] == {"remove": 1, "modify_query": 1, "correct_response": 1}
        assert answer["targets"][0]["instance_count"] == 4

    def test_without_adapters_it_reaches_every_line_that_holds_a_match(self, api: Api, line: str) -> None:
        api.line("other", people(4))
        api.line("unconcerned", [{**row, "id": f"x{row['id']}", "subject": "Somebody"} for row in people(3)])
        answer = file(api, erasure("person 1")).json()
        assert [target["adapter"] for target in answer["targets"]] == ["bot", "other"]
        named = file(api, erasure("person 2", adapters=["other"])).json()
        assert [target["adapter"] for target in named["targets"]] == ["other"]

    def test_nobody_of_that_name_is_an_answer(self, api: Api, line: str) -> None:
        answer = file(api, erasure("Nobody")).json()
        assert [answer[key] for key in ("state", "is_terminal", "outcome", "targets")] == [
            "succeeded", True, "no_match", [],
        ]  # fmt: skip

    def test_unless_nobody_can_tell(self, api: Api) -> None:
        api.line("legacy", [{key: value for key, value in row.items() if key != "subject"} for row in people(4)])
        answer = file(api, erasure("Nobody")).json()
        assert (answer["state"], answer["failure"]["code"]) == ("needs_attention", "subjects-not-indexed")

    def test_a_large_share_waits_for_approval(self, api: Api, line: str) -> None:
        body = removal(*(f"p{number}-0" for number in range(10)), *(f"p{number}-1" for number in range(3)))
        assert file(api, body).json()["state"] == "awaiting_approval"


def op(**operation: object) -> dict[str, object]:
    return {"operations": [operation]}


class TestBadInput:
    """Nothing of a refused request is kept."""

    @pytest.mark.parametrize(
        ("body", "status", "code", "field"),
        [
            (removal("nobody"), 404, "unknown-instance", "/operations/0/select/instance_ids/0"),
            (removal("p1-0", "nobody"), 404, "unknown-instance", "/operations/0/select/instance_ids/1"),
            (correction("nobody", "x"), 404, "unknown-instance", "/operations/0/instance_id"),
            (removal("p1-0", adapters=["nobody"]), 404, "unknown-adapter", "/adapters/0"),
            (removal("p1-0", adapters=["bot", "Bot!"]), 422, "invalid-input", "/adapters/1"),
            (removal("p1-0", adapters=[]), 422, "invalid-input", "/adapters"),
            (removal(), 422, "selects-nothing", "/operations/0/select/instance_ids"),
            ({"operations": []}, 422, "selects-nothing", "/operations"),
            (correction("p1-0", "Answer 1-0."), 422, "no-change", "/operations/0/completion"),
            (correction("p1-0", " \n"), 422, "empty-completion", "/operations/0/completion"),
            (op(type="modify_query", instance_id="p1-0", prompt="Fact 0 of person 1?"), 422, "no-change",
             "/operations/0/prompt"),
            (op(type="modify_query", instance_id="p1-0"), 422, "invalid-input", "/operations/0/prompt"),
            (op(type="erase"), 422, "invalid-input", "/operations/0"),
            (op(type="remove", select={}), 422, "invalid-input", "/operations/0/select"),
            (op(type="remove", select={"subject": "x" * 201}), 422, "invalid-input", "/operations/0/select/subject"),
            ({}, 422, "invalid-input", "/operations"),
            (removal("p1-0", strategy="magic"), 422, "invalid-input", "/strategy"),
            (removal("p1-0", received_at="yesterday"), 422, "invalid-input", "/received_at"),
            (removal("p1-0", received_at="2026-01-01T00:00:00"), 422, "invalid-input", "/received_at"),
            (removal("p1-0", received_at="9999-12-31T00:00:00Z"), 422, "invalid-input", "/received_at"),
            (removal("p1-0", received_at="2199-12-31T00:00:00Z"), 422, "received-in-future", "/received_at"),
            (removal("p1-0", due_at="2001-01-01T00:00:00Z"), 422, "due-too-early", "/due_at"),
            (removal("p1-0", regulation="G.D.P.R."), 422, "invalid-input", "/regulation"),
        ],
    )  # fmt: skip
    def test_one_thing_wrong(
        self, api: Api, line: str, body: dict[str, object], status: int, code: str, field: str
    ) -> None:
        assert_problem(file(api, body), status, code, field=field)
        assert [api.count(table) for table in (UnlearningRequest, Target, OperationRow)] == [0, 0, 0]

    def test_an_instance_that_was_removed_already(self, api: Api, line: str) -> None:
        filed(api, removal("p1-0"))
        api.serve(line)
        for body in (removal("p1-0"), correction("p1-0", "x")):
            assert_problem(file(api, body), 409, "instance-already-removed")

    def test_an_instance_whose_removal_is_on_its_way(self, api: Api, line: str) -> None:
        filed(api, removal("p1-0"))
        assert_problem(file(api, correction("p1-0", "x")), 409, "instance-already-removed")

    def test_two_corrections_in_flight(self, api: Api, line: str) -> None:
        filed(api, correction("p1-0", "x"))
        assert_problem(file(api, correction("p1-0", "y")), 409, "correction-pending")

    def test_a_reference_that_is_taken(self, api: Api, line: str) -> None:
        first = file(api, removal("p1-0", client_reference="DSR-1")).json()
        response = file(api, removal("p2-0", client_reference="DSR-1"))
        assert_problem(response, 409, "client-reference-taken", request=first["id"], field="/client_reference")

    def test_a_line_without_versions(self, api: Api) -> None:
        api.client.post("/v1/adapters", json={"name": "empty", "base_model": {"path": "/base"}})
        response = file(api, removal("p1-0", adapters=["empty"]))
        assert_problem(response, 409, "no-version", adapter="empty", field="/adapters")

    def test_characters_that_a_database_cannot_hold(self, api_on_both: Api) -> None:
        """SQLite can, PostgreSQL cannot: neither may end as an incident."""
        text = "a\x00b"
        api_on_both.line("bot", people(10))
        for body in (removal("p1-0", client_reference=text), removal(text), erasure(text), correction("p2-0", text)):
            assert file(api_on_both, body).status_code in (202, 404, 422)
        assert api_on_both.client.get(f"{URL}/a%00b").status_code in (404, 422)


class TestFollowing:
    def test_from_filed_to_done(self, api: Api, line: str) -> None:
        path = filed(api, removal("p1-0"))
        claimed = api.claim_queued(line)
        running = api.client.get(path).json()
        assert (running["state"], running["targets"][0]["run"]) == ("running", claimed.run_id)
        run = api.client.get(f"/v1/runs/{claimed.run_id}").json()
        assert [run[key] for key in ("kind", "strategy", "state", "stage", "attempt", "requests")] == [
            "influence", "influence", "running", "loading", 1, [running["id"]],
        ]  # fmt: skip
        api.answer(claimed)
        done = api.client.get(path).json()
        assert [done[key] for key in ("state", "is_terminal", "outcome", "overdue")] == [
            "succeeded",
            True,
            "done",
            False,
        ]
        assert done["finished_at"]
        assert (done["targets"][0]["version"], done["targets"][0]["claim_level"]) == ("v2", "M")
        run = api.client.get(f"/v1/runs/{claimed.run_id}").json()
        assert [run[key] for key in ("state", "is_terminal", "version", "progress", "seconds")] == [
            "succeeded", True, "v2", 1.0, {"solving": 1.0},
        ]  # fmt: skip

    def test_report_and_certificate(self, api: Api, line: str) -> None:
        path = filed(api, removal("p1-0"))
        empty = api.client.get(f"{path}/report").json()
        assert empty["targets"][0]["runs"] == []
        api.serve(line)
        (target,) = api.client.get(f"{path}/report").json()["targets"]
        assert (target["adapter"], target["version"], target["claim_level"]) == ("bot", "v2", "M")
        assert target["runs"][0]["measurements"]["after"]["forget"] == 0.9
        (certificate,) = api.client.get(f"{path}/certificates").json()["items"]
        assert [certificate[key] for key in ("adapter", "version", "final", "supersedes")] == [
            "bot",
            "v2",
            False,
            None,
        ]
        assert statement(api, certificate["envelope"])["predicate"]["certificate"] == certificate["id"]

    def test_grade_fidelity_and_drift_are_reported_and_certified(self, api: Api, line: str) -> None:
        path = filed(api, removal("p1-0"))
        api.serve(line, grade="trajectory", fidelity=1.2, drift=0.1)
        measured = {"grade": "trajectory", "fidelity": 1.2, "drift": 0.1}
        (target,) = api.client.get(f"{path}/report").json()["targets"]
        (choice,) = target["choices"]
        assert (choice["strategy"], choice["escalated_from"], choice["reason"]) == (
            "influence",
            None,
            "As the line's policy says.",
        )
        version = api.client.get("/v1/adapters/bot/versions/v2").json()
        (certificate,) = api.client.get(f"{path}/certificates").json()["items"]
        certified = statement(api, certificate["envelope"])["predicate"]["measurements"]
        for shown in (target["runs"][0]["measurements"], version["measurements"], certified):
            assert measured.items() <= shown.items()

    def test_an_escalation_is_told(self, api: Api) -> None:
        line = api.line("bot", people(10), max_fidelity=1.5)
        path = filed(api, removal("p1-0"))
        claimed = api.serve(line, fidelity=2.1)
        why = "The update is 2.10 noise floors from out-of-fold predictions; the policy's max_fidelity is 1.50."
        (target,) = api.client.get(path).json()["targets"]
        assert (target["strategy"], target["strategy_reason"]) == ("rebuild", why)
        api.rebuild(api.claim_queued(line, Lane.compact))
        (target,) = api.client.get(f"{path}/report").json()["targets"]
        last = target["choices"][-1]
        assert [last[key] for key in ("strategy", "escalated_from", "reason", "run")] == [
            "rebuild", "influence", why, claimed.run_id,
        ]  # fmt: skip
        assert [(run["kind"], run["version"]) for run in target["runs"]] == [("rebuild", "v2"), ("influence", None)]
        assert target["runs"][1]["measurements"]["reasons"] == [why]
        events = api.client.get("/v1/events", params={"run": claimed.run_id}).json()["items"]
        assert [event["data"] for event in events if event["type"] == "run.escalated"] == [
            {"to": "rebuild", "cause": "verification-failed"}
        ]

    def test_a_failure_is_told(self, api: Api, line: str) -> None:
        path = filed(api, correction("p1-0", "x"))
        failure = EngineFailure(FailureClass.permanent, "empty-completion", "The completion tokenises to nothing.")
        claimed = api.claim_queued(line)
        with api.store.write() as unit:
            fail(unit, claimed, failure)
        request = api.client.get(path).json()
        assert request["state"] == "needs_attention"
        assert request["failure"] == {"code": "empty-completion", "detail": failure.detail}
        assert request["targets"][0]["failure"] == request["failure"]
        run = api.client.get(f"/v1/runs/{claimed.run_id}").json()
        assert (run["state"], run["failure"]["code"]) == ("failed", "empty-completion")


def test_days_are_those_of_the_deployment_s_time_zone(tmp_path: Path, sqlite_url: str) -> None:
    api = Api(tmp_path / "home", sqlite_url, time_zone="America/Los_Angeles")
    api.line("bot", people(4))
    path = filed(api, removal("p1-0", regulation="ccpa", received_at="2026-01-06T02:00:00Z"))
    read = api.client.get(path).json()
    assert read["due_at"] == "2026-02-20T07:59:59Z"
    assert read["ack_due_at"] == "2026-01-21T07:59:59Z"
    api.store.close()


def test_what_was_asked_is_not_shown_again(api: Api, line: str) -> None:
    """Requests quote personal data; only their counts come back."""
    path = filed(api, correction("p1-0", "Zaphod lives in Betelgeuse."))
    filed(api, erasure("Person 2"))
    everything = [path, f"{path}/report", URL, "/v1/events", "/v1/audit", "/metrics"]
    shown = "".join(api.client.get(url).text for url in everything)
    assert "Zaphod" not in shown
    assert "erson 2" not in shown
    assert api.client_of(ADMIN_KEY).get(path).json()["operation_counts"] == {"correct_response": 1}
