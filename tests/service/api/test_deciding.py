"""People decide on requests over HTTP: approval, refusal, cancelling, holds, extensions, retries, acceptance."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.engine import EngineFailure, FailureClass
from service.domain.scopes import Scope
from service.flows.fail import fail
from tests.support.api import Api, assert_problem, correction, removal
from tests.support.filing import filed, statement
from tests.support.house import people


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
