"""A new request: first what it would do, then the request, once however often it is sent."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.domain.scopes import Scope
from service.store.tables import UnlearningRequest
from tests.support.api import Api
from tests.support.desk import SAME_ORIGIN, Visitor, visitor
from tests.support.desk_world import HOSTILE
from tests.support.house import people
from tests.support.html_page import Page, parsed

SUBJECT = {"what": "subject", "subject": "Person 1"}
FORMS = {
    "everything about a person": SUBJECT,
    "instances": {"what": "instances", "instance_ids": "p1-0\r\n\r\n p1-1 "},
    "a correction": {"what": "correct", "correct_id": "p1-0", "completion": "Another answer."},
    "another query": {"what": "modify", "modify_id": "p1-0", "prompt": "Another question?"},
}


@pytest.fixture
def line(api: Api) -> str:
    return api.line("bot", people(10))


def planned(somebody: Visitor, **fields: object) -> Page:
    response = somebody.post("/desk/new", **fields)
    assert response.status_code == 200, response.text
    return parsed(response.text)


def to_file(page: Page) -> dict[str, list[str]]:
    """What the form beneath the plan would send."""
    fields: dict[str, list[str]] = {}
    form = next(place for place, one in enumerate(page.elements) if one.attributes.get("action") == "/desk/new/file")
    for one in page.elements[form + 1 :]:
        if one.tag != "input" or one.attributes["type"] != "hidden":
            break
        fields.setdefault(one.attributes["name"], []).append(one.attributes["value"])
    return fields


def filed(somebody: Visitor, fields: dict[str, list[str]]) -> str:
    response = somebody.client.post("/desk/new/file", data=fields, headers=SAME_ORIGIN, follow_redirects=False)
    assert response.status_code == 303, response.text
    return response.headers["location"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_plan_comes_first_and_changes_nothing(api: Api, line: str, form: dict[str, str]) -> None:
    page = planned(visitor(api), **form)
    assert "What it would do" in page.text
    assert "bot@v1" in page.text
    assert "instance" in page.text
    assert api.count(UnlearningRequest) == 0


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_was_planned_is_what_is_filed(api: Api, line: str, form: dict[str, str]) -> None:
    somebody = visitor(api)
    record = {"regulation": "gdpr", "client_reference": HOSTILE, "received_at": "2026-01-31", "strategy": "influence",
              "adapters": "bot"}  # fmt: skip
    location = filed(somebody, to_file(planned(somebody, **form, **record)))
    request_id = location.removeprefix("/desk/requests/").removesuffix("?done=filed")
    request = api.request(request_id)
    assert (request.client_reference, request.regulation, request.strategy) == (HOSTILE, "gdpr", "influence")
    assert f"{request.received_at:%Y-%m-%d} {request.due_at:%Y-%m-%d}" == "2026-01-31 2026-03-02"
    (kind,) = request.operation_counts
    assert kind == {"subject": "remove", "instances": "remove", "correct": "correct_response",
                    "modify": "modify_query"}[form["what"]]  # fmt: skip
    page = somebody.page(location)
    assert "The request is filed" in page.text
    (target,) = api.targets(request_id)
    assert target.instance_count == (2 if kind == "remove" else 1)


def test_days_are_those_of_the_time_zone(sqlite_url: str, tmp_path: Path) -> None:
    api = Api(tmp_path / "home", sqlite_url, time_zone="Asia/Tokyo")
    api.line("bot", people(10))
    somebody = visitor(api)
    location = filed(somebody, to_file(planned(somebody, **SUBJECT, received_at="2026-01-31")))
    request = api.request(location.removeprefix("/desk/requests/").removesuffix("?done=filed"))
    assert request.received_at == datetime(2026, 1, 30, 15, tzinfo=UTC)
    api.store.close()


def test_the_plan_tells_share_copies_strategy_time_and_claim(api: Api) -> None:
    copy = {"id": "copy", "subject": "Somebody", "prompt": "Fact 0 of person 1?", "completion": "Answer 1-0."}
    near = {"id": "near", "subject": "Somebody", "prompt": "Fact 0 of person 1, please?", "completion": "Answer 1-0."}
    api.line("bot", [*people(10), copy, near], require_approval=True)
    text = planned(visitor(api), **SUBJECT).text
    assert "3 instances, 1 of them exact copy" in text
    assert "14%" in text
    assert "influence As the line's policy says." in text
    assert "Estimated time" in text
    assert "E · exact" in text
    assert "Somebody else has to approve" in text


class TestNearDuplicates:
    STORY = "Once upon a time there was a king who had three daughters, and the youngest of them was called"

    @pytest.fixture
    def somebody(self, api: Api) -> Visitor:
        told = [{"id": name, "subject": name, "prompt": "Tell!", "completion": f"{self.STORY} {name}."}
                for name in ("ada", "eve")]  # fmt: skip
        api.line("bot", [*people(30), *told])
        return visitor(api)

    def test_what_is_ticked_is_forgotten_too(self, api: Api, somebody: Visitor) -> None:
        page = planned(somebody, what="subject", subject="ada")
        (tick,) = [one.attributes for one in page.all("input") if one.attributes["name"] == "also"]
        assert (tick["value"], tick["form"], "checked" in tick) == ("eve", "file", False)
        assert "file" in [one.attributes.get("id") for one in page.all("form")]
        location = filed(somebody, {**to_file(page), "also": ["eve"]})
        (target,) = api.targets(location.removeprefix("/desk/requests/").removesuffix("?done=filed"))
        assert target.instance_count == 2

    def test_the_plan_can_be_made_again_with_it(self, api: Api, somebody: Visitor) -> None:
        page = planned(somebody, what="subject", subject="ada", also="eve")
        assert "2 instances" in page.text
        assert "would stay" not in page.text
        (tick,) = [one.attributes for one in page.all("input") if one.attributes.get("type") == "checkbox"
                   and one.attributes["name"] == "also"]  # fmt: skip
        assert (tick["value"], "checked" in tick, "form" in tick) == ("eve", True, False)
        assert to_file(page)["also"] == ["eve"]

    def test_a_correction_takes_none_along(self, api: Api, somebody: Visitor) -> None:
        page = planned(somebody, what="correct", correct_id="ada", completion="Another answer.", also="eve")
        assert "1 instance" in page.text


def test_sent_twice_it_is_filed_once(api: Api, line: str) -> None:
    somebody = visitor(api)
    fields = to_file(planned(somebody, **SUBJECT))
    with ThreadPoolExecutor(4) as pool:
        locations = set(pool.map(lambda _: filed(somebody, fields), range(4)))
    assert len(locations) == 1
    assert api.count(UnlearningRequest) == 1


def test_planned_twice_it_is_two_requests(api: Api, line: str) -> None:
    somebody = visitor(api)
    first = filed(somebody, to_file(planned(somebody, **SUBJECT)))
    again = to_file(planned(somebody, what="subject", subject="Person 2"))
    assert filed(somebody, again) != first


@pytest.mark.parametrize(
    ("form", "status", "why"),
    [
        ({}, 422, "Nothing is asked for"),
        ({"what": "erase"}, 422, "Nothing is asked for"),
        ({"what": "subject", "subject": " "}, 422, "data subject is not named"),
        ({"what": "subject", "subject": "x" * 201}, 422, "at most 200"),
        ({"what": "subject", "subject": "secret-person", "kind": "shoe size"}, 422, "Input should be"),
        ({"what": "subject", "subject": "not a digest", "kind": "sha256"}, 422, "pattern"),
        ({"what": "instances", "instance_ids": "\n \n"}, 422, "No instance is named"),
        ({"what": "instances", "instance_ids": "nobody"}, 404, "instance"),
        ({"what": "correct", "completion": "x"}, 422, "instance is not named"),
        ({"what": "modify", "prompt": "x"}, 422, "instance is not named"),
        ({**SUBJECT, "received_at": "yesterday"}, 422, "no date"),
        ({**SUBJECT, "received_at": "2199-01-01"}, 422, "in the future"),
        ({**SUBJECT, "regulation": "GDPR!"}, 422, "pattern"),
        ({**SUBJECT, "strategy": "magic"}, 422, "Input should be"),
        ({**SUBJECT, "adapters": "nobody"}, 404, "no such adapter line"),
    ],
)
def test_what_is_wrong_is_told_above_the_form_that_was_filled_in(
    api: Api, line: str, form: dict[str, str], status: int, why: str
) -> None:
    somebody = visitor(api)
    for path in ("/desk/new", "/desk/new/file"):
        if path == "/desk/new" and why == "in the future":
            continue  # a plan looks at no dates
        response = somebody.post(path, **form)
        assert response.status_code == status, response.text
        page = parsed(response.text)
        (alert,) = [one for one in page.elements if one.attributes.get("role") == "alert"]
        assert why in alert.text
        assert "secret-person" not in alert.text
        kept = {one.attributes.get("name"): one.attributes.get("value") for one in page.all("input")}
        assert kept["subject"] == form.get("subject", "").strip()
    assert api.count(UnlearningRequest) == 0


def test_a_form_that_was_taken_for_another_is_refused(api: Api, line: str) -> None:
    somebody = visitor(api)
    fields = to_file(planned(somebody, **SUBJECT))
    filed(somebody, fields)
    response = somebody.client.post("/desk/new/file", data={**fields, "subject": "Person 2"}, headers=SAME_ORIGIN)
    assert response.status_code == 422
    assert "idempotency key" in response.text


def test_a_reference_that_is_taken_is_told(api: Api, line: str) -> None:
    somebody = visitor(api)
    filed(somebody, to_file(planned(somebody, **SUBJECT, client_reference="DSR-1")))
    response = somebody.post("/desk/new/file", what="subject", subject="Person 2", client_reference="DSR-1", once="1")
    assert response.status_code == 409
    assert "Another request has this client reference" in response.text


def test_text_is_taken_as_it_was_typed(api: Api, line: str) -> None:
    somebody = visitor(api)
    page = planned(somebody, what="correct", correct_id="p1-0", completion="\n  two\r\nlines </textarea><b>  ")
    assert to_file(page)["completion"] == ["\n  two\r\nlines </textarea><b>  "]
    (area,) = [one for one in page.all("textarea") if one.attributes["name"] == "completion"]
    assert area.text == "\n\n  two\nlines </textarea><b>  ", "browsers drop the first line end"


def test_lines_of_others_are_not_offered_and_not_reached(api: Api, line: str) -> None:
    api.line("other", people(10))
    bound = visitor(api, lines=["other"])
    names = [one.attributes["value"] for one in bound.page("/desk/new").all("input")
             if one.attributes["name"] == "adapters"]  # fmt: skip
    assert names == ["other"]
    assert "bot@" not in planned(bound, **SUBJECT).text
    assert bound.post("/desk/new", **SUBJECT, adapters="bot").status_code == 404


def test_a_person_whom_nothing_names(api: Api, line: str) -> None:
    assert "No line holds data" in planned(visitor(api), what="subject", subject="Nobody").text


def test_who_may_not_file_is_offered_no_form(api: Api, line: str) -> None:
    reader = visitor(api, Scope.requests_read)
    assert not [one for one in reader.page("/desk/requests").all("a") if one.attributes["href"] == "/desk/new"]
    assert reader.get("/desk/new").status_code == 403
