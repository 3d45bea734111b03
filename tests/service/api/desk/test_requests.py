"""The table of requests: filters in the address, pages, a table for spreadsheets, and people found by keyed hashes."""

import csv
import io
import re
from datetime import timedelta

import pytest

from service.api.desk import requests as table
from service.store.tables import UnlearningRequest
from tests.support.api import Api, erasure, removal
from tests.support.desk import Visitor, visitor
from tests.support.house import people
from tests.support.html_page import Page


@pytest.fixture
def line(api: Api) -> str:
    return api.line("bot", people(10))


def file(api: Api, body: dict[str, object], *, due_in_days: float | None = None) -> str:
    response = api.client.post("/v1/unlearning-requests", json=body)
    assert response.status_code == 202, response.text
    request_id = str(response.json()["id"])
    if due_in_days is not None:
        with api.store.write() as unit:
            unit.session.get_one(UnlearningRequest, request_id).due_at = unit.now + timedelta(days=due_in_days)
    return request_id


def shown(page: Page) -> list[str]:
    return [one.attributes["href"].rpartition("/")[2] for one in page.all("a") if "tbody" in one.inside]


def find(somebody: Visitor, who: str, **fields: str) -> str:
    """The address to which looking for somebody leads."""
    response = somebody.post("/desk/requests/subject", who=who, **fields)
    assert response.status_code == 303, response.text
    return response.headers["location"]


def test_days_left_are_told_in_words(api: Api, line: str) -> None:
    file(api, removal("p1-0", client_reference="late"), due_in_days=-3.5)
    file(api, removal("p2-0", client_reference="soon"), due_in_days=2.5)
    file(api, removal("p3-0", client_reference="today"), due_in_days=0.1)
    file(api, removal("p4-0", client_reference="later"), due_in_days=20.5)
    page = visitor(api).page("/desk/requests")
    rows = {row.text.split()[0]: row for row in page.all("tr") if "tbody" in row.inside}
    assert "3 days overdue" in rows["late"].text
    assert rows["late"].classes == ["late"]
    assert "2 days left" in rows["soon"].text
    assert "2 hours left" in rows["today"].text
    assert "20 days left" in rows["later"].text


def test_filters(api: Api, line: str) -> None:
    api.line("other", people(10))
    late = file(api, removal("p1-0", adapters=["bot"], regulation="gdpr"), due_in_days=-1)
    soon = file(api, removal("p2-0", adapters=["bot"], regulation="ccpa", client_reference="DSR-1"), due_in_days=3)
    other = file(api, removal("p3-0", adapters=["other"]))
    gone = file(api, erasure("Nobody", regulation="gdpr"))
    somebody = visitor(api)
    for query, expected in {
        "": [gone, other, soon, late],
        "clock=open": [other, soon, late],
        "clock=soon": [soon],
        "clock=overdue": [late],
        "regulation=gdpr": [gone, late],
        "adapter=bot": [soon, late],
        "state=succeeded": [gone],
        "reference=DSR-1": [soon],
        "state=&clock=&adapter=&regulation=&reference=": [gone, other, soon, late],
        "state=nonsense&clock=__class__": [gone, other, soon, late],
        "adapter=bot&clock=overdue": [late],
    }.items():
        assert shown(somebody.page(f"/desk/requests?{query}")) == expected, query


def test_the_summary_counts_what_the_filters_find(api: Api, line: str) -> None:
    file(api, removal("p1-0"), due_in_days=-1)
    file(api, removal("p2-0"), due_in_days=3)
    file(api, removal("p3-0"))
    file(api, erasure("Nobody"))
    somebody = visitor(api)
    tiles = [one for one in somebody.page("/").all("a") if "ul" in one.inside and "?" in one.attributes["href"]]
    counts = {tile.attributes["href"]: int(tile.text.split()[0]) for tile in tiles}
    assert counts["/desk/requests?clock=open"] == 3
    assert len(counts) == 5
    for link, count in counts.items():
        assert len(shown(somebody.page(link))) == count, link


def test_pages(api: Api, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "PAGE", 2)
    filed = [file(api, removal(f"p{number}-0", regulation="gdpr")) for number in range(5)]
    somebody, link, seen = visitor(api), "/desk/requests?regulation=gdpr", []
    while link:
        page = somebody.page(link)
        seen += shown(page)
        link = next((one.attributes["href"] for one in page.all("a") if one.attributes.get("rel") == "next"), "")
        assert "regulation=gdpr" in link or not link
    assert seen == filed[::-1]


def test_a_cursor_is_good_for_its_filters_and_caller_only(
    api: Api, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "PAGE", 1)
    for number in range(2):
        file(api, removal(f"p{number}-0"))
    page = visitor(api).page("/desk/requests")
    link = next(one.attributes["href"] for one in page.all("a") if one.attributes.get("rel") == "next")
    assert visitor(api).get(link).status_code == 400
    assert "The cursor does not belong" in visitor(api).page("/desk/requests?cursor=x", status=400).text


def test_a_person_is_found_and_stays_out_of_the_address(api: Api, line: str) -> None:
    wanted = file(api, erasure("Person 1"))
    file(api, erasure("Person 2"))
    somebody = visitor(api)
    address = find(somebody, " PERSON 1 ")
    assert "person" not in address.lower()
    assert re.fullmatch(r"/desk/requests\?subject=[0-9a-f.]+", address)
    page = somebody.page(address)
    assert shown(page) == [wanted]
    assert "One person's requests" in page.text
    assert "PERSON 1" not in somebody.get(address).text


def test_the_kind_of_an_identifier_counts(api: Api, line: str) -> None:
    body = {"operations": [{"type": "remove", "select": {"subject": {"kind": "email", "value": "jane@example.com"}}}]}
    wanted, somebody = file(api, body), visitor(api)
    assert shown(somebody.page(find(somebody, "Jane@Example.com", kind="email"))) == [wanted]
    assert shown(somebody.page(find(somebody, "jane@example.com", kind="user_id"))) == []


def test_looking_for_a_person_keeps_the_other_filters(api: Api, line: str) -> None:
    file(api, erasure("Person 1"))
    somebody = visitor(api)
    address = find(somebody, "Person 1", state="succeeded", regulation="gdpr")
    assert address.startswith("/desk/requests?state=succeeded&regulation=gdpr&subject=")
    assert shown(somebody.page(address)) == []
    assert find(somebody, "", regulation="gdpr") == "/desk/requests?regulation=gdpr"


@pytest.mark.parametrize(("who", "kind"), [("x" * 201, ""), ("x", "nonsense")])
def test_who_cannot_be_looked_for(api: Api, who: str, kind: str) -> None:
    response = visitor(api).post("/desk/requests/subject", who=who, kind=kind)
    assert response.status_code == 422
    assert who * 2 not in response.text


def test_the_table_for_spreadsheets_holds_what_the_filters_find(api: Api, line: str) -> None:
    file(api, removal("p1-0", regulation="gdpr", client_reference="=1+1"))
    file(api, removal("p2-0"))
    response = visitor(api).get("/desk/requests.csv?regulation=gdpr")
    assert response.headers["content-type"].startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(response.text))
    assert row["client_reference"] == "'=1+1"
    assert row["regulation"] == "gdpr"
