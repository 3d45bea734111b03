"""The figures of a period at the desk: days by the deployment's clock, and the same figures as the API's."""

import csv
import io
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from service.api.desk.summary import Period, periods
from service.domain.scopes import Scope
from tests.support.api import Api, erasure, removal
from tests.support.desk import Visitor, visitor
from tests.support.house import people
from tests.support.html_page import Page

URL = "/desk/summary"


@pytest.fixture
def filled(api: Api) -> Api:
    return fill(api)


def fill(api: Api) -> Api:
    """A deletion that was answered, and one that found nobody; both in 2026, and one under a clock."""
    line = api.line("bot", people(10))
    api.line("other", people(4))
    for body in (
        removal("p1-0", adapters=["bot"], regulation="gdpr", received_at="2026-01-31T23:30:00Z"),
        erasure("Nobody", received_at="2026-03-01T00:00:00Z"),
    ):
        assert api.client.post("/v1/unlearning-requests", json=body).status_code == 202
    api.serve(line)
    return api


def tiles(page: Page) -> dict[str, str]:
    """What the tiles say, by their words."""
    found = [one.text.split(maxsplit=1) for one in page.all("li") if "main" in one.inside and one.text.strip()]
    return {words: value for value, words in found}


def received(somebody: Visitor, **query: str) -> str:
    address = "&".join(f"{name}={value}" for name, value in query.items())
    return tiles(somebody.page(f"{URL}?{address}")).get("received", "0")


def test_the_figures_are_those_of_the_api(filled: Api) -> None:
    query = {"received_after": "2026-01-01T00:00:00Z", "received_before": "2027-01-01T00:00:00Z"}
    total = filled.client.get("/v1/reports/summary", params=query).json()["total"]
    page = visitor(filled).page(f"{URL}?first=2026-01-01&last=2026-12-31")
    rows = {one.text.strip(): one for one in page.all("th") if "tbody" in one.inside}
    assert list(rows) == ["All", "No regulation", "gdpr", "Remove"]
    cells = [one.text for one in page.all("td")][:10]
    names = ("received", "complied", "denied", "no_match", "canceled", "failed", "open", "overdue", "in_time", "late")
    assert cells == [str(total[name]) for name in names]
    assert tiles(page)["received"] == "2"


def test_both_days_of_a_period_count(filled: Api) -> None:
    somebody = visitor(filled)
    assert received(somebody, first="2026-01-31", last="2026-01-31") == "1"
    assert received(somebody, first="2026-02-01", last="2026-03-01") == "1"
    assert received(somebody, first="2026-02-01", last="2026-02-28") == "0"
    assert received(somebody, first="", last="") == "2"


def test_days_are_those_of_the_time_zone(sqlite_url: str, tmp_path: Path) -> None:
    api = fill(Api(tmp_path / "home", sqlite_url, time_zone="Asia/Tokyo"))
    somebody = visitor(api)
    assert received(somebody, first="2026-01-31", last="2026-01-31") == "0"
    assert received(somebody, first="2026-02-01", last="2026-02-01") == "1"
    api.store.close()


def test_filters(filled: Api) -> None:
    somebody = visitor(filled)
    assert received(somebody, first="", regulation="gdpr") == "1"
    assert received(somebody, first="", adapter="other") == "0"
    assert somebody.get(f"{URL}?adapter=nobody").status_code == 404


def test_the_table_is_of_the_same_period(filled: Api) -> None:
    somebody = visitor(filled)
    page = somebody.page(f"{URL}?first=2026-02-01&last=2026-12-31")
    link = next(one.attributes["href"] for one in page.all("a") if one.text == "As CSV")
    (total, *_) = csv.DictReader(io.StringIO(somebody.get(link).text))
    assert (total["group"], total["received"], total["no_match"]) == ("total", "1", "1")


def test_without_days_it_is_this_year(filled: Api) -> None:
    page = visitor(filled).page(URL)
    (current,) = [one for one in page.all("a") if one.attributes.get("aria-current") == "true"]
    assert current.text == "This year"
    assert f"{datetime.now(UTC).year}-01-01" in current.attributes["href"]


@pytest.mark.parametrize("query", ["first=yesterday", "last=2026-02-30", "last=9999-12-31", "first=0001-01-01"])
def test_days_that_are_none(filled: Api, query: str) -> None:
    assert visitor(filled).get(f"{URL}?{query}").status_code == 422


def test_a_bound_key_counts_what_it_sees(filled: Api) -> None:
    somebody = visitor(filled, Scope.requests_read, lines=["other"])
    assert received(somebody, first="", last="") == "0"
    assert "bot" not in somebody.page(URL).text


def test_periods_in_january() -> None:
    found = periods(date(2026, 1, 15))
    assert found["This month"] == Period(date(2026, 1, 1), date(2026, 1, 15))
    assert found["Last month"] == Period(date(2025, 12, 1), date(2025, 12, 31))
    assert found["Last year"] == Period(date(2025, 1, 1), date(2025, 12, 31))
