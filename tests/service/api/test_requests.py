"""Unlearning requests over HTTP: filed, planned, followed, decided, proven; and every way to file a bad one."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.domain.engine import EngineFailure, FailureClass
from service.domain.runs import Lane
from service.domain.scopes import Scope
from service.evidence import dsse
from service.evidence.keys import STATEMENT_TYPE, public_keys
from service.flows.fail import fail
from service.store.tables import OperationRow, Run, Target, UnlearningRequest
from tests.support.api import ADMIN_KEY, Api, assert_problem, correction, erasure, removal
from tests.support.house import people

URL = "/v1/unlearning-requests"


@pytest.fixture
def line(api: Api) -> str:
    return api.line("bot", people(10))


def file(api: Api, body: dict[str, object]) -> httpx.Response:
    return api.client.post(URL, json=body)


def filed(api: Api, body: dict[str, object]) -> str:
    """The path of a new request."""
    response = file(api, body)
    assert response.status_code == 202, response.text
    return response.headers["location"]


def statement(api: Api, envelope: dict[str, Any]) -> dict[str, Any]:
    """What an envelope says, once its signature is verified with the published keys."""
    keys = public_keys(api.client_of(None).get("/.well-known/jwks.json").json())
    content: dict[str, Any] = json.loads(dsse.verify(envelope, payload_type=STATEMENT_TYPE, keys=keys))
    return content


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


class TestPlan:
    def test_it_offers_near_duplicates_and_tells_who_cannot_be_looked_up(self, api: Api) -> None:
        story = " ".join(f"word{number}" for number in range(60))
        rows = [
            {"id": str(n), "subject": {"kind": "user_id", "value": str(n)}, "prompt": story, "completion": f"end {n}"}
            for n in range(3)
        ]
        api.line("bot", [*people(10), *rows], max_share=1)
        body = erasure({"kind": "user_id", "value": "1"})  # type: ignore[arg-type]
        (plan,) = api.client.post("/v1/unlearning-plans", json=body).json()["lines"]
        assert plan["removals"] == 1
        assert {(one["instance"], one["of"]) for one in plan["near_duplicates"]} == {("0", "1"), ("2", "1")}
        assert all(0.6 < one["similarity"] < 1 for one in plan["near_duplicates"])
        api.line("tagged", rows)
        hashed = erasure({"kind": "email", "sha256": "a" * 64})  # type: ignore[arg-type]
        assert api.client.post("/v1/unlearning-plans", json=hashed).json()["unindexed"] == ["tagged"]

    @pytest.mark.parametrize(
        ("subject", "field"),
        [
            ({"kind": "mail", "value": "x"}, "/operations/0/select/subject/kind"),
            ({"kind": "email"}, "/operations/0/select/subject"),
            ({"sha256": "x"}, "/operations/0/select/subject/sha256"),
            ([], "/operations/0/select/subject"),
            (17, "/operations/0/select/subject"),
        ],
    )
    def test_a_subject_that_names_nobody(self, api: Api, subject: object, field: str) -> None:
        response = api.client.post("/v1/unlearning-plans", json=erasure(subject))  # type: ignore[arg-type]
        assert_problem(response, 422, "invalid-input", field=field)

    def test_it_shows_what_a_request_would_do_and_changes_nothing(self, api: Api, line: str) -> None:
        tables = (UnlearningRequest, Target, OperationRow, Run)
        before = [api.count(table) for table in tables]
        events = api.client.get("/v1/events").json()["items"]
        response = api.client.post("/v1/unlearning-plans", json=erasure("Person 1"))
        assert response.status_code == 200
        (plan,) = response.json()["lines"]
        assert plan.pop("starts_at") is not None
        assert plan == {
            "adapter": "bot",
            "version": "v1",
            "removals": 2,
            "corrections": 0,
            "exact_duplicates": 0,
            "share": 0.1,
            "strategy": "influence",
            "reason": "As the line's policy says.",
            "needs_approval": False,
            "retires_line": False,
            "waiting_for": None,
            "estimated_seconds": None,
            "claim_level": "E",
            "grade": None,
            "predicted_fidelity": None,
            "near_duplicates": [],
        }
        assert [api.count(table) for table in tables] == before
        assert api.client.get("/v1/events").json()["items"] == events

    def test_it_shows_how_close_to_a_retrain_an_update_would_come(self, api: Api) -> None:
        api.line("bot", people(10), predicted={"end-point": 2.1, "trajectory": 1.3}, max_fidelity=1.5, seconds=1e5)
        for body, *shown in (
            (erasure("Person 1", strategy="auto"), "influence", "trajectory", 1.3),
            (removal("p1-0", strategy="auto"), "rebuild", "end-point", 2.1),
        ):
            (plan,) = api.client.post("/v1/unlearning-plans", json=body).json()["lines"]
            assert [plan[key] for key in ("strategy", "grade", "predicted_fidelity")] == shown

    def test_it_refuses_what_a_request_would_refuse(self, api: Api, line: str) -> None:
        for body in (removal("nobody"), removal(), correction("p1-0", " ")):
            plan, request = api.client.post("/v1/unlearning-plans", json=body), file(api, body)
            assert (plan.status_code, plan.json()) == (request.status_code, request.json())
            assert plan.is_error


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


class TestDeciding:
    @pytest.fixture
    def waiting(self, api: Api) -> str:
        """A request that waits for approval."""
        api.line("bot", people(10), require_approval=True)
        return filed(api, removal("p1-0"))

    def test_four_eyes(self, api: Api, waiting: str) -> None:
        assert_problem(api.client.post(f"{waiting}/approve"), 403, "four-eyes")
        other = api.client_with(Scope.requests_approve)
        response = other.post(f"{waiting}/approve")
        assert (response.status_code, response.json()["state"]) == (200, "queued")
        assert_problem(other.post(f"{waiting}/approve"), 409, "illegal-transition", state="queued")

    def test_rejection_needs_a_reason(self, api: Api, waiting: str) -> None:
        assert_problem(api.client.post(f"{waiting}/reject", json={}), 422, "invalid-input", field="/reason")
        unknown = {"reason": "identity not proven", "reason_code": "dislike"}
        assert_problem(api.client.post(f"{waiting}/reject", json=unknown), 422, "invalid-input", field="/reason_code")
        given = {"reason": "identity not proven", "reason_code": "insufficient_verification"}
        body = api.client.post(f"{waiting}/reject", json=given).json()
        assert [body[key] for key in ("state", "is_terminal", "rejection_code")] == [
            "rejected", True, "insufficient_verification",
        ]  # fmt: skip
        (decision,) = body["decisions"]
        assert {name: decision[name] for name in ("verb", *given)} == {"verb": "reject", **given}
        assert decision["by"].startswith("key_")
        (row,) = [r for r in api.client.get("/v1/audit").json()["items"] if r["action"] == "request.rejected"]
        envelope = api.client.get(body["links"]["refusal"]).json()["envelope"]
        assert row["data"] == {
            "request": body["id"],
            "reason_code": "insufficient_verification",
            "sha256": hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest(),
        }

    def test_a_refusal_is_signed_and_says_no_more_than_the_code(self, api: Api, waiting: str) -> None:
        assert api.client.get(waiting).json()["links"]["refusal"] is None
        assert_problem(api.client.get(f"{waiting}/refusal"), 404, "not-rejected")
        receipt = api.client.get(f"{waiting}/receipt").json()["envelope"]
        api.client.post(f"{waiting}/reject", json={"reason": "Jane is no customer", "reason_code": "no_match"})
        envelope = api.client.get(f"{waiting}/refusal").json()["envelope"]
        said, received = statement(api, envelope), statement(api, receipt)
        assert said["predicateType"] == "urn:lethe:refusal:v1"
        assert said["subject"] == received["subject"]
        predicate = said["predicate"]
        assert predicate["reason"] == {"code": "no_match", "meaning": "Nothing is held about who asks."}
        assert (predicate["within_deadline"], predicate["operations"]) == (True, {"remove": 1})
        assert "Jane" not in json.dumps(said)

    def test_a_rejection_without_a_code_is_for_another_reason(self, api: Api, waiting: str) -> None:
        assert api.client.post(f"{waiting}/reject", json={"reason": "x"}).json()["rejection_code"] == "other"

    def test_cancelling_before_a_worker_takes_it(self, api: Api, line: str) -> None:
        path = filed(api, removal("p1-0"))
        assert api.client.post(f"{path}/cancel").json()["state"] == "canceled"
        assert_problem(api.client.post(f"{path}/cancel"), 409, "illegal-transition", state="canceled")

    def test_or_until_it_is_published(self, api: Api, line: str) -> None:
        first, second = filed(api, removal("p1-0")), filed(api, removal("p2-0"))
        claimed = api.claim_queued(line)
        assert api.client.get(first).json()["state"] == "running"
        assert api.client.post(f"{first}/cancel").json()["state"] == "canceled"
        assert api.client.get(f"/v1/runs/{claimed.run_id}").json()["state"] == "queued"
        api.serve(line)
        assert api.client.get(second).json()["state"] == "succeeded"
        assert_problem(api.client.post(f"{second}/cancel"), 409, "illegal-transition", state="succeeded")

    def test_hold_and_release(self, api: Api, line: str) -> None:
        path = filed(api, removal("p1-0"))
        claimed = api.claim_queued(line)
        held = api.client.post(f"{path}/hold", json={"reason": "litigation"}).json()
        assert [held[key] for key in ("state", "on_hold")] == ["queued", True]
        assert [(one["verb"], one["reason"]) for one in held["decisions"]] == [("hold", "litigation")]
        assert api.client.get(f"/v1/runs/{claimed.run_id}").json()["state"] == "queued"
        assert_problem(api.client.post(f"{path}/hold"), 409, "illegal-transition", on_hold=True)
        released = api.client.post(f"{path}/release").json()
        assert (released["state"], released["on_hold"]) == ("queued", False)
        assert_problem(api.client.post(f"{path}/release"), 409, "illegal-transition")

    def test_a_hold_needs_no_body(self, api: Api, line: str) -> None:
        path = filed(api, removal("p1-0"))
        assert api.client.post(f"{path}/hold").json()["on_hold"] is True

    def test_one_extension(self, api: Api, line: str) -> None:
        path = filed(api, removal("p1-0"))
        due = datetime.fromisoformat(api.client.get(path).json()["due_at"])
        later = (due + timedelta(days=60)).isoformat()
        earlier = (due - timedelta(days=1)).isoformat()
        refused = api.client.post(f"{path}/extend", json={"due_at": earlier, "reason": "complex"})
        assert_problem(refused, 422, "invalid-input", field="/due_at")
        body = api.client.post(f"{path}/extend", json={"due_at": later, "reason": "complex"}).json()
        assert datetime.fromisoformat(body["due_at"]) == due + timedelta(days=60)
        assert body["extended_at"]
        again = api.client.post(f"{path}/extend", json={"due_at": later, "reason": "complex"})
        assert_problem(again, 409, "illegal-transition")

    def test_an_extension_ends_where_the_law_says(self, api: Api, line: str) -> None:
        received = (datetime.now(UTC) - timedelta(days=2)).replace(microsecond=0)
        filed_as = {"regulation": "ccpa", "received_at": received.isoformat()}
        path = filed(api, removal("p1-0", **filed_as))
        assert datetime.fromisoformat(api.client.get(path).json()["ack_due_at"]) > received + timedelta(days=13)
        latest = (received + timedelta(days=90)).replace(hour=23, minute=59, second=59)
        too_late = {"due_at": (latest + timedelta(seconds=1)).isoformat(), "reason": "complex"}
        refused = api.client.post(f"{path}/extend", json=too_late)
        assert_problem(refused, 422, "due-too-late", field="/due_at", latest=latest.isoformat())
        allowed = {"due_at": latest.isoformat(), "reason": "complex"}
        body = api.client.post(f"{path}/extend", json=allowed).json()
        assert datetime.fromisoformat(body["due_at"]) == latest
        assert [(one["verb"], one["reason"]) for one in body["decisions"]] == [("extend", "complex")]

    def test_retry_of_what_needs_attention(self, api: Api, line: str) -> None:
        path = filed(api, correction("p1-0", "x"))
        assert_problem(api.client.post(f"{path}/retry"), 409, "illegal-transition", state="queued")
        claimed = api.claim_queued(line)
        with api.store.write() as unit:
            fail(unit, claimed, EngineFailure(FailureClass.permanent, "empty-completion", "Nothing."))
        assert api.client.post(f"{path}/retry").json()["state"] == "queued"
        api.serve(line)
        assert api.client.get(path).json()["state"] == "succeeded"

    def test_accepting_a_measured_failure(self, api: Api) -> None:
        line = api.line("bot", people(10), recipe=None)
        path = filed(api, removal("p1-0"))
        api.serve(line, passed=False, reasons=("It went 30% of the way.",))
        body = {"reason": "three greetings"}
        other = api.client_with(Scope.requests_approve)
        assert_problem(other.post(f"{path}/accept", json={}), 422, "invalid-input", field="/reason")
        assert_problem(api.client.post(f"{path}/accept", json=body), 403, "four-eyes")
        assert_problem(api.client_with(Scope.requests_manage).post(f"{path}/accept", json=body), 403, "missing-scope")
        answer = other.post(f"{path}/accept", json=body).json()
        assert (answer["state"], answer["decisions"][-1]["reason"]) == ("queued", "three greetings")
        assert_problem(other.post(f"{path}/accept", json=body), 409, "illegal-transition", state="queued")
        api.serve(line, passed=False)
        assert api.client.get(path).json()["state"] == "succeeded"
        (told,) = api.client.get(f"{path}/report").json()["targets"]
        assert (told["claim_level"], told["acceptance"]["shortfall"]) == ("I", "failed")
        assert told["acceptance"]["reason"] == "three greetings"
        (certificate,) = api.client.get(f"{path}/certificates").json()["items"]
        assert statement(api, certificate["envelope"])["predicate"]["accepted"]["by"] == told["acceptance"]["by"]

    def test_nothing_is_accepted_where_nothing_was_measured(self, api: Api, line: str) -> None:
        path = filed(api, correction("p1-0", "x"))
        claimed = api.claim_queued(line)
        with api.store.write() as unit:
            fail(unit, claimed, EngineFailure(FailureClass.permanent, "empty-completion", "Nothing."))
        refused = api.client_with(Scope.requests_approve).post(f"{path}/accept", json={"reason": "why not"})
        assert_problem(refused, 409, "nothing-to-accept", state="needs_attention")

    def test_every_decision_is_in_the_audit_chain(self, api: Api, waiting: str) -> None:
        api.client_with(Scope.requests_approve).post(f"{waiting}/approve")
        api.client.post(f"{waiting}/cancel")
        rows = api.client.get("/v1/audit", params={"limit": 1000}).json()["items"]
        mine = [row["action"] for row in rows if row["data"].get("request") == waiting.rpartition("/")[2]]
        assert mine == ["request.created", "request.approved", "request.canceled"]


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
