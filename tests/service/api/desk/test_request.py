"""One request at the desk: its story, the decisions that are offered and taken, and its documents."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.domain.engine import Stage
from service.domain.scopes import Scope
from service.domain.states import RequestState
from service.flows.progress import report_progress
from service.store.tables import UnlearningRequest
from tests.support.api import Api, erasure, removal
from tests.support.desk import Visitor, visitor
from tests.support.desk_world import HOSTILE
from tests.support.house import people
from tests.support.html_page import Page, parsed

MANAGE = (Scope.requests_read, Scope.requests_manage, Scope.requests_approve)


@pytest.fixture
def line(api: Api) -> str:
    return api.line("bot", people(10))


@pytest.fixture
def careful(api: Api) -> str:
    """A line whose requests somebody has to approve."""
    return api.line("careful", people(10), require_approval=True)


def address(request_id: str) -> str:
    return f"/desk/requests/{request_id}"


def offers(page: Page) -> list[str]:
    return [one.attributes["action"].rpartition("/")[2] for one in page.all("form") if "details" in one.inside]


def decided(somebody: Visitor, request_id: str, verb: str, **fields: object) -> Page:
    """The page that a decision leads to."""
    response = somebody.post(f"{address(request_id)}/{verb}", **fields)
    assert response.status_code == 303, response.text
    assert response.headers["location"] == f"{address(request_id)}?done={verb}"
    return somebody.page(response.headers["location"])


def test_the_story_from_receipt_to_certificate(api: Api, line: str) -> None:
    request_id = api.submit_over(api.client)
    api.serve(line)
    page = visitor(api).page(address(request_id))
    steps = [one.text for one in page.all("li") if "ol" in one.inside]
    told = ["Received; the receipt was signed", "Approximate update began", "Interim certificate issued", "Answered"]
    places = [next(i for i, step in enumerate(steps) if what in step) for what in told]
    assert places == sorted(places)
    assert "bot@v2" in page.text
    assert "M · measured" in page.text
    assert "Backups" in page.text, "what remains"
    assert offers(page) == []


def test_progress_is_shown_while_a_run_is_at_work(api: Api, line: str) -> None:
    request_id = api.submit_over(api.client)
    claimed = api.claim_queued(line)
    with api.store.write() as unit:
        report_progress(unit, claimed.run_id, claimed.fence, Stage.solving, 0.4)
    page = visitor(api).page(address(request_id))
    (progress,) = page.all("progress")
    assert float(progress.attributes["value"]) == 0.4
    assert "Solving" in page.text
    assert "40%" in page.text


def test_a_run_that_no_worker_can_serve_tells_what_it_waits_for(api: Api, line: str) -> None:
    request_id = api.submit_over(api.client)
    assert "Waiting for worker in pool default" in visitor(api).page(address(request_id)).text


def test_approving(api: Api, careful: str) -> None:
    request_id = api.submit_over(api.client)
    page = decided(visitor(api, *MANAGE), request_id, "approve")
    assert "Approved." in page.text
    assert api.request(request_id).state is RequestState.queued


def test_rejecting_needs_a_reason(api: Api, careful: str) -> None:
    somebody, request_id = visitor(api, *MANAGE), api.submit_over(api.client)
    response = somebody.post(f"{address(request_id)}/reject", reason="  ")
    assert response.status_code == 422
    assert 'role="alert"' in response.text
    assert api.request(request_id).state is RequestState.awaiting_approval
    assert HOSTILE in decided(somebody, request_id, "reject", reason=HOSTILE).text
    assert api.request(request_id).state is RequestState.rejected


def test_rejecting_has_a_ground_and_a_signed_refusal(api: Api, careful: str) -> None:
    somebody, request_id = visitor(api, *MANAGE), api.submit_over(api.client)
    assert somebody.post(f"{address(request_id)}/reject", reason="x", reason_code="whim").status_code == 422
    assert somebody.get(f"{address(request_id)}/refusal").status_code == 404
    page = decided(somebody, request_id, "reject", reason="see letter", reason_code="outside_jurisdiction")
    assert api.request(request_id).rejection_code == "outside_jurisdiction"
    assert "The law does not apply to who asks. see letter" in page.text
    assert somebody.get(f"{address(request_id)}/refusal").json()["envelope"] == api.request(request_id).refusal


def test_extending_no_further_than_the_regulation_allows(api: Api, line: str) -> None:
    response = api.client.post("/v1/unlearning-requests", json=removal("p1-0", regulation="ccpa"))
    request_id, somebody = response.json()["id"], visitor(api, *MANAGE)
    request = api.request(request_id)
    (date,) = [one for one in somebody.page(address(request_id)).all("input") if one.attributes["name"] == "due_at"]
    last = date.attributes["max"]
    assert last == f"{request.received_at + timedelta(days=90):%Y-%m-%d}"
    beyond = f"{request.received_at + timedelta(days=91):%Y-%m-%d}"
    refused = somebody.post(f"{address(request_id)}/extend", due_at=beyond, reason="complex")
    assert refused.status_code == 422
    assert "does not allow" in refused.text
    decided(somebody, request_id, "extend", due_at=last, reason="complex")


def test_every_decision_stays_in_the_story(api: Api, line: str) -> None:
    somebody, request_id = visitor(api, *MANAGE), api.submit_over(api.client)
    decided(somebody, request_id, "hold", reason="litigation")
    decided(somebody, request_id, "release")
    steps = [one.text for one in decided(somebody, request_id, "cancel").all("li") if "ol" in one.inside]
    told = [step for step in steps if " by key" in step]
    assert ["Put on hold" in told[0], "litigation" in told[0], "Released" in told[1], "Called off" in told[2]] == [
        True
    ] * 4


def test_holding_and_releasing(api: Api, line: str) -> None:
    somebody, request_id = visitor(api, *MANAGE), api.submit_over(api.client)
    page = decided(somebody, request_id, "hold", reason="litigation")
    assert api.request(request_id).on_hold
    assert "On hold" in page.text
    assert "litigation" in page.text
    assert offers(page) == ["release", "extend", "cancel"]
    decided(somebody, request_id, "release")
    assert not api.request(request_id).on_hold


def test_holding_needs_no_reason(api: Api, line: str) -> None:
    request_id = api.submit_over(api.client)
    decided(visitor(api, *MANAGE), request_id, "hold", reason="")
    assert api.request(request_id).on_hold


def test_extending_takes_a_date_and_a_reason(api: Api, line: str) -> None:
    somebody, request_id = visitor(api, *MANAGE), api.submit_over(api.client)
    due = api.request(request_id).due_at
    for date, reason, why in (("", "complex", "Field required"), ("soon", "complex", "no date"),
                              ("2001-01-01", "complex", "not later"), ("2026-13-45", "complex", "no date"),
                              (f"{due + timedelta(days=9):%Y-%m-%d}", "", "Field required")):  # fmt: skip
        response = somebody.post(f"{address(request_id)}/extend", due_at=date, reason=reason)
        assert response.status_code == 422, date
        assert why in response.text
    later = (due + timedelta(days=20)).date()
    page = decided(somebody, request_id, "extend", due_at=str(later), reason="complex")
    assert api.request(request_id).due_at.date() == later
    assert "extend" not in offers(page)


def test_calling_off(api: Api, line: str) -> None:
    request_id = api.submit_over(api.client)
    page = decided(visitor(api, *MANAGE), request_id, "cancel")
    assert api.request(request_id).state is RequestState.canceled
    assert "The request is closed." in page.text


def test_trying_again_and_accepting(api: Api) -> None:
    imported = api.line("imported", people(10), recipe=None)
    somebody, request_id = visitor(api, *MANAGE), api.submit_over(api.client)
    api.serve(imported, passed=False)
    assert {"retry", "accept"} <= set(offers(somebody.page(address(request_id))))
    decided(somebody, request_id, "retry")
    assert api.request(request_id).state is RequestState.queued
    api.serve(imported, passed=False)
    decided(somebody, request_id, "accept", reason="three greetings")
    api.serve(imported, passed=False)
    assert api.request(request_id).state is RequestState.succeeded
    assert "three greetings" in somebody.page(address(request_id)).text


def test_what_cannot_be_decided_any_more_is_told_on_the_page(api: Api, careful: str) -> None:
    somebody, request_id = visitor(api, *MANAGE), api.submit_over(api.client)
    decided(somebody, request_id, "approve")
    response = somebody.post(f"{address(request_id)}/approve")
    assert response.status_code == 409
    assert "cannot take approve" in response.text
    assert "From receipt to certificate" in response.text


def test_who_files_does_not_approve(api: Api, careful: str) -> None:
    key = api.token_of()
    somebody, request_id = Visitor(api.client_of(None)), api.submit_over(api.client_of(key))
    somebody.sign_in(key)
    page = somebody.page(address(request_id))
    assert "approve" not in offers(page)
    assert "somebody else approves" in page.text
    assert somebody.post(f"{address(request_id)}/approve").status_code == 403
    assert api.request(request_id).state is RequestState.awaiting_approval


def test_only_what_the_scopes_allow_is_offered(api: Api, careful: str) -> None:
    request_id = api.submit_over(api.client)
    assert offers(visitor(api, Scope.requests_read).page(address(request_id))) == []
    reader = visitor(api, Scope.requests_read, Scope.requests_approve)
    assert offers(reader.page(address(request_id))) == ["approve", "reject"]


def test_decisions_are_on_record_under_the_key(api: Api, careful: str) -> None:
    request_id = api.submit_over(api.client)
    decided(visitor(api, *MANAGE), request_id, "approve")
    with api.store.read() as unit:
        row = next(row for row in unit.feed.newest_audit_rows(10) if row.action == "request.approved")
        assert row.actor == unit.session.get_one(UnlearningRequest, request_id).decided_by
        assert unit.access.key(row.actor) is not None


def test_documents(api: Api, line: str) -> None:
    request_id = api.client.post("/v1/unlearning-requests", json=removal("p1-0")).json()["id"]
    api.serve(line)
    somebody = visitor(api)
    receipt = somebody.get(f"{address(request_id)}/receipt")
    assert "attachment" in receipt.headers["content-disposition"]
    assert receipt.json() == api.client.get(f"/v1/unlearning-requests/{request_id}/receipt").json()
    (certificate,) = api.client.get(f"/v1/unlearning-requests/{request_id}/certificates").json()["items"]
    (link,) = [one.attributes["href"] for one in somebody.page(address(request_id)).all("a")
               if "/certificates/" in one.attributes["href"]]  # fmt: skip
    assert somebody.get(link).json() == certificate
    assert somebody.get(f"{address(request_id)}/certificates/cert_0").status_code == 404


def test_the_report_leads_to_documents_of_the_desk(api: Api, line: str) -> None:
    request_id = api.submit_over(api.client)
    api.serve(line)
    somebody = visitor(api)
    page = somebody.page(f"{address(request_id)}/report")
    links = [one.attributes["href"] for one in page.all("a")]
    assert f"{address(request_id)}/receipt" in links
    assert not [link for link in links if link.startswith("/v1/")]
    for link in links:
        assert somebody.get(link).status_code == 200, link


def test_nothing_found_is_an_answer(api: Api, line: str) -> None:
    request_id = api.client.post("/v1/unlearning-requests", json=erasure("Nobody")).json()["id"]
    page = visitor(api).page(address(request_id))
    assert "Nothing found" in page.text
    assert "nothing had to be forgotten" in page.text


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_date_at_the_end_of_the_calendar(sqlite_url: str, tmp_path: Path, day: str) -> None:
    """Moved into UTC it would be none."""
    api = Api(tmp_path / "home", sqlite_url, time_zone="America/New_York")
    api.line("bot", people(10))
    request_id = api.submit_over(api.client)
    response = visitor(api).post(f"{address(request_id)}/extend", due_at=day, reason="it takes long")
    assert response.status_code == 422
    assert "between 2000 and 2200" in parsed(response.text).text
    api.store.close()


def test_due_days_are_those_of_the_time_zone(sqlite_url: str, tmp_path: Path) -> None:
    """In UTC they would be the day after, and the last one that is offered would be refused."""
    api = Api(tmp_path / "home", sqlite_url, time_zone="America/Los_Angeles")
    api.line("bot", people(10))
    received = datetime.now(UTC) - timedelta(days=3)
    request_id = api.client.post(
        "/v1/unlearning-requests", json=removal("p1-0", regulation="ccpa", received_at=received.isoformat())
    ).json()["id"]
    day = received.astimezone(api.settings.zone).date()
    somebody = visitor(api)
    (last,) = [one.attributes["max"] for one in somebody.page(address(request_id)).all("input")
               if one.attributes.get("name") == "due_at"]  # fmt: skip
    assert last == (day + timedelta(days=90)).isoformat()
    assert (day + timedelta(days=45)).isoformat() in somebody.page("/desk/requests").text
    page = decided(somebody, request_id, "extend", due_at=last, reason="it takes long")
    assert re.search(rf"{last} 23:59 P[SD]T The request is due", page.text)
    assert re.search(rf"To {last} 23:59 P[SD]T", page.text)
    api.store.close()
