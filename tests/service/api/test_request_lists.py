"""Lists of unlearning requests: filters, searches for data subjects, and tables for spreadsheets."""

import csv
import io
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from service.api import csv_table
from service.api.csv_table import cell
from service.api.views import request_rows
from service.api.views.request_rows import COLUMNS
from tests.support.api import Api, assert_problem, correction, erasure, removal
from tests.support.house import people
from tests.support.statements import statements

URL = "/v1/unlearning-requests"
CSV = {"Accept": "text/csv"}
NOW = datetime.now(UTC)


def filed(api: Api, body: dict[str, object]) -> str:
    response = api.client.post(URL, json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def ids(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


def both(client: TestClient, **search: Any) -> list[str]:
    """What the list and the search find, which is the same."""
    params = {name: str(value).lower() if isinstance(value, bool) else value for name, value in search.items()}
    found = ids(client.get(URL, params=params))
    assert ids(client.post(f"{URL}/search", json=search)) == found
    return found


class TestFilters:
    @pytest.fixture
    def three(self, api_on_both: Api) -> tuple[Api, str, str, str]:
        """An overdue request, one under the GDPR, and one that names nobody we know."""
        api = api_on_both
        api.line("bot", people(10))
        api.line("other", people(4))
        old = (NOW - timedelta(days=60)).isoformat()
        late = filed(api, removal("p1-0", adapters=["bot"], received_at=old))
        other = filed(api, removal("p2-0", adapters=["other"], client_reference="DSR-1", regulation="gdpr"))
        return api, late, other, filed(api, erasure("Nobody"))

    def test_each_alone_and_together(self, three: tuple[Api, str, str, str]) -> None:
        api, late, other, none = three
        assert both(api.client) == [none, other, late]
        assert both(api.client, state="succeeded") == [none]
        assert both(api.client, adapter="bot") == [late]
        assert both(api.client, client_reference="DSR-1") == [other]
        assert both(api.client, regulation="gdpr") == [other]
        assert both(api.client, overdue=True) == [late]
        assert both(api.client, adapter="other", state="succeeded") == []
        assert both(api.client, adapter="other", regulation="gdpr", overdue=False) == [other]
        assert api.client.get(f"{URL}/{late}").json()["overdue"] is True

    def test_bounds_in_time_take_the_earlier_in_and_leave_the_later_out(
        self, three: tuple[Api, str, str, str]
    ) -> None:
        api, late, other, none = three
        second = api.client.get(f"{URL}/{other}").json()
        assert both(api.client, due_before=NOW.isoformat()) == [late]
        due = datetime.fromisoformat(api.client.get(f"{URL}/{late}").json()["due_at"])
        assert both(api.client, due_before=due.isoformat()) == []
        assert both(api.client, due_before=(due + timedelta(microseconds=1)).isoformat()) == [late]
        assert both(api.client, created_after=second["created_at"]) == [none, other]
        assert both(api.client, created_before=second["created_at"]) == [late]
        assert both(api.client, created_after=second["created_at"], created_before=second["created_at"]) == []

    def test_what_cannot_be_looked_for(self, three: tuple[Api, str, str, str]) -> None:
        api = three[0]
        assert_problem(api.client.get(URL, params={"adapter": "nobody"}), 404, "unknown-adapter")
        assert_problem(api.client.get(URL, params={"state": "lost"}), 422, "invalid-input", field="state")
        assert_problem(api.client.get(URL, params={"due_before": "soon"}), 422, "invalid-input", field="due_before")
        for body, field in (
            ({"state": "lost"}, "/state"),
            ({"due_before": "2026-03-01T00:00:00"}, "/due_before"),
            ({"subject": {"kind": "mail", "value": "x"}}, "/subject/kind"),
            ({"subject": []}, "/subject"),
            ({"person": "x"}, "/person"),
        ):
            assert_problem(api.client.post(f"{URL}/search", json=body), 422, "invalid-input", field=field)

    def test_a_cursor_belongs_to_its_search(self, three: tuple[Api, str, str, str]) -> None:
        api, *oldest_first = three
        search, found, cursor = {"created_before": "2100-01-01T00:00:00Z"}, [], None
        while True:
            params = {"limit": "1", **({} if cursor is None else {"cursor": cursor})}
            page = api.client.post(f"{URL}/search", json=search, params=params).json()
            found += [item["id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = page["next_cursor"]
        assert found == oldest_first[::-1]
        for body in ({}, {**search, "subject": "Person 1"}):
            other = api.client.post(f"{URL}/search", json=body, params={"cursor": str(cursor)})
            assert_problem(other, 400, "invalid-cursor")


def test_a_longer_page_costs_the_database_no_more(api: Api) -> None:
    line = api.line("bot", people(20))
    api.line("other", people(20))

    def cost() -> int:
        with statements(api.store) as executed:
            ids(api.client.get(URL))
        return len(executed)

    for answered, waiting in (("p0-0", "p1-0"), ("p2-0", "p3-0")):
        api.submit_over(api.client, answered)
        api.serve(line)
        filed(api, removal(waiting))
    few = cost()
    for number in range(4, 12):
        filed(api, removal(f"p{number}-0"))
    assert cost() == few


class TestSubjects:
    EMAIL = {"kind": "email", "value": "Jane@Example.com"}
    # SHA-256 of jane@example.com
    DIGEST = "8c87b489ce35cf2e2f39f80e282cb2e804932a56a213983eeeb428407d43b52d"

    @pytest.fixture
    def asked(self, api_on_both: Api) -> tuple[Api, dict[str, str]]:
        """Requests that name a person in every way, and one that names nobody."""
        api = api_on_both
        api.line("bot", people(10))
        subjects: dict[str, Any] = {
            "plain": "jane@example.com",
            "email": self.EMAIL,
            "digest": {"kind": "email", "sha256": self.DIGEST},
            "user": {"kind": "user_id", "value": "jane@example.com"},
            "several": [{"kind": "user_id", "value": "7"}, self.EMAIL],
            "somebody": "Person 1",
        }
        made = {name: filed(api, erasure(subject)) for name, subject in subjects.items()}
        return api, {**made, "instance": filed(api, removal("p2-0"))}

    @pytest.mark.parametrize(
        ("subject", "expected"),
        [
            (EMAIL, ["plain", "email", "digest", "several"]),
            ({"kind": "email", "sha256": DIGEST}, ["plain", "email", "digest", "several"]),
            (" JANE@example.com ", ["plain", "email", "digest", "user", "several"]),
            ({"kind": "user_id", "value": "jane@example.com"}, ["plain", "user"]),
            ([{"kind": "user_id", "value": "7"}, "Person 1"], ["several", "somebody"]),
            ({"kind": "phone", "value": "+49 30 1"}, []),
        ],
    )
    def test_requests_about_a_person_are_found_however_they_name_them(
        self, asked: tuple[Api, dict[str, str]], subject: object, expected: Sequence[str]
    ) -> None:
        api, made = asked
        found = ids(api.client.post(f"{URL}/search", json={"subject": subject}))
        assert found == [made[name] for name in expected][::-1]

    def test_other_filters_hold_too(self, asked: tuple[Api, dict[str, str]]) -> None:
        api, made = asked
        body = {"subject": "Person 1", "state": "queued"}
        assert ids(api.client.post(f"{URL}/search", json=body)) == [made["somebody"]]
        assert ids(api.client.post(f"{URL}/search", json={**body, "state": "succeeded"})) == []

    def test_who_is_looked_for_is_in_no_log_and_no_url(
        self, asked: tuple[Api, dict[str, str]], caplog: pytest.LogCaptureFixture
    ) -> None:
        api, _ = asked
        with caplog.at_level(logging.DEBUG):
            page = api.client.post(f"{URL}/search", json={"subject": "jane@example.com"}, params={"limit": "1"})
        assert page.json()["next_cursor"]
        ours = [record for record in caplog.records if record.name.startswith("service.")]
        assert [record.getMessage().split(" 200 ")[0] for record in ours] == [f"POST {URL}/search"]
        for secret in ("jane", self.DIGEST, api.vault.hashes.subject("jane@example.com")):
            assert secret not in caplog.text
            assert secret not in page.text

    def test_a_query_string_is_not_logged_either(self, api: Api, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, logger="service.api.access"):
            api.client.get(URL, params={"client_reference": "jane@example.com"})
        assert f"GET {URL} 200" in caplog.text
        assert "jane" not in "".join(
            record.getMessage() for record in caplog.records if record.name.startswith("service")
        )

    def test_a_bound_key_finds_its_own_only(self, api: Api) -> None:
        for name in ("bot", "other"):
            api.line(name, people(10))
        mine = filed(api, erasure("Person 1", adapters=["bot"]))
        filed(api, erasure("Person 1", adapters=["other"]))
        bound = api.client_with(lines=["bot"])
        assert ids(bound.post(f"{URL}/search", json={"subject": "Person 1"})) == [mine]
        (row,) = table(bound.post(f"{URL}/search", json={"subject": "Person 1"}, headers=CSV))
        assert row["id"] == mine
        assert_problem(bound.post(f"{URL}/search", json={"adapter": "other"}), 404, "unknown-adapter")


def table(response: httpx.Response) -> list[dict[str, str]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.text)))


class TestCsv:
    def test_columns(self, api_on_both: Api) -> None:
        api = api_on_both
        line = api.line("bot", people(10))
        api.line("other", people(4))
        received = datetime(2026, 1, 31, 12, tzinfo=UTC)
        filed(api, removal("p1-0", adapters=["bot"], client_reference="DSR-1", regulation="gdpr",
                           received_at=received.isoformat()))  # fmt: skip
        filed(api, erasure("person 2"))
        api.serve(line)
        filed(api, correction("p3-0", "Another, longer\nanswer", adapters=["bot"]))
        response = api.client.get(URL, headers=CSV)
        assert response.headers["content-disposition"] == 'attachment; filename="unlearning-requests.csv"'
        assert response.headers["vary"] == "Accept"
        last, second, first = table(response)
        assert list(first) == list(COLUMNS)
        read = api.client.get(f"{URL}/{first['id']}").json()
        assert first["state"] == read["state"]
        expected = {
            "client_reference": "DSR-1", "regulation": "gdpr", "remove": "1", "modify_query": "0",
            "correct_response": "0", "adapters": "bot", "versions": "v2", "received_at": "2026-01-31T12:00:00Z",
            "due_at": "2026-03-02T23:59:59Z", "on_hold": "false", "failure": "", "outcome": read["outcome"] or "",
        }  # fmt: skip
        assert {name: first[name] for name in expected} == expected
        assert (second["adapters"], second["versions"]) == ("bot other", "v2 -")
        assert (last["correct_response"], last["state"]) == ("1", "queued")
        assert "longer" not in response.text

    def test_it_holds_all_that_match_and_not_just_a_page(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(request_rows, "MAX_LIMIT", 2)
        api.line("bot", people(10))
        made = [filed(api, removal(f"p{number}-0")) for number in range(5)]
        rows = table(api.client.get(URL, headers=CSV, params={"limit": "1", "state": "queued"}))
        assert [row["id"] for row in rows] == made[::-1]
        assert table(api.client.get(URL, headers=CSV, params={"state": "failed"})) == []

    def test_it_goes_on_from_a_cursor(self, api: Api) -> None:
        api.line("bot", people(10))
        first, _ = [filed(api, removal(f"p{number}-0")) for number in range(2)]
        cursor = api.client.get(URL, params={"limit": "1"}).json()["next_cursor"]
        assert [row["id"] for row in table(api.client.get(URL, headers=CSV, params={"cursor": cursor}))] == [first]

    def test_a_reference_cannot_become_a_formula(self, api: Api) -> None:
        api.line("bot", people(10))
        formula = '=HYPERLINK("http://evil.example","click"),\n+1'
        filed(api, removal("p1-0", client_reference=formula))
        (row,) = table(api.client.get(URL, headers=CSV))
        assert row["client_reference"] == f"'{formula}"

    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=1", "@x"])
    def test_what_spreadsheets_take_for_formulas(self, text: str) -> None:
        assert cell(text) == f"'{text}"

    @pytest.mark.parametrize(("value", "text"), [("DSR-1", "DSR-1"), ("", ""), (None, ""), (0, "0"), ("a=b", "a=b")])
    def test_other_cells_stay_as_they_are(self, value: object, text: str) -> None:
        assert cell(value) == text

    def test_lines_end_as_rfc_4180_says(self) -> None:
        response = csv_table.respond("x", ["a", "b"], [['say "x"', "y,z"]])
        assert response.media_type == "text/csv"
        assert list(csv_table._lines(["a", "b"], [['say "x"', "y,z"]])) == ["a,b\r\n", '"say ""x""","y,z"\r\n']
