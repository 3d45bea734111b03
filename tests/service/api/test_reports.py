"""The summary: every request is counted once as what became of it, and days are counted from its receipt."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.domain.decisions import RejectionCode
from service.domain.operations import Operation
from service.flows import decide
from service.store.tables import UnlearningRequest
from tests.support.api import Api, assert_problem
from tests.support.house import ACTOR, correct, people, remove, remove_subject

URL = "/v1/reports/summary"
START = datetime(2025, 1, 1, tzinfo=UTC)
COUNTS = ("received", "complied", "denied", "no_match", "canceled", "failed", "open", "overdue", "in_time", "late")


def figures(read: dict[str, Any]) -> dict[str, Any]:
    """Without zeros and absences."""
    return {name: value for name, value in read.items() if value not in (0, None) and name not in _NAMES}


_NAMES = ("regulation", "operation")


class Office:
    """Files requests that were received, and answered, on chosen days of 2025."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.lines = {
            "bot": api.line("bot", people(30)),
            "strict": api.line("strict", people(30), require_approval=True),
        }

    def receive(self, day: float, *operations: Operation, line: str = "bot", **fields: Any) -> str:
        received = START + timedelta(days=day)
        return self.api.submit(*operations, adapters=[line], received_at=received, **fields)

    def answered(self, day: float, after: float, *operations: Operation, **fields: Any) -> str:
        """Complied with after so many days."""
        request = self.receive(day, *operations, **fields)
        self.api.serve(self.lines["bot"])
        self.ended(request, day + after)
        return request

    def denied(self, day: float, after: float, code: RejectionCode, operation: Operation, **fields: Any) -> str:
        request = self.receive(day, operation, line="strict", **fields)
        with self.api.store.write() as unit:
            decide.reject(unit, self.api.vault, request, actor="key_other", reason_code=code, reason="so")
        self.ended(request, day + after)
        return request

    def ended(self, request: str, day: float) -> None:
        with self.api.store.write() as unit:
            row = unit.session.get_one(UnlearningRequest, request)
            assert row.finished_at is not None
            row.finished_at = START + timedelta(days=day)

    def summary(self, **params: str) -> dict[str, Any]:
        response = self.api.client.get(URL, params=params)
        assert response.status_code == 200, response.text
        read: dict[str, Any] = response.json()
        return read


@pytest.fixture
def office(api_on_both: Api) -> Office:
    return Office(api_on_both)


def test_nothing_yet(office: Office) -> None:
    read = office.summary()
    assert read["total"] == {**dict.fromkeys(COUNTS, 0), "mean_days": None, "median_days": None}
    assert (read["by_regulation"], read["by_operation"], read["denials"]) == ([], [], [])


def test_every_fate_is_counted(office: Office) -> None:
    office.answered(0, 2, remove("p0-0"), regulation="ccpa")
    office.answered(1, 50, remove("p1-0"), correct("p2-0", "x"), regulation="ccpa")
    office.denied(2, 4, RejectionCode.no_match, remove("p3-0"), regulation="gdpr")
    office.denied(3, 40, RejectionCode.suspected_fraud, remove("p4-0"), regulation="gdpr")
    office.ended(office.receive(4, remove_subject("Nobody")), 5)
    canceled = office.receive(5, remove("p5-0"))
    with office.api.store.write() as unit:
        decide.cancel(unit, canceled, actor=ACTOR)
    office.receive(6, correct("p6-0", "y"))
    office.receive(6, remove("p7-0"), due_at=datetime.now(UTC) + timedelta(days=1))
    read = office.summary()
    assert figures(read["total"]) == {
        "received": 8, "complied": 2, "denied": 2, "no_match": 1, "canceled": 1, "open": 2, "overdue": 1,
        "in_time": 3, "late": 2, "mean_days": 19.4, "median_days": 4.0,
    }  # fmt: skip
    by_regulation = {one["regulation"]: figures(one) for one in read["by_regulation"]}
    assert list(by_regulation) == [None, "ccpa", "gdpr"]
    assert by_regulation["ccpa"] == {
        "received": 2, "complied": 2, "in_time": 1, "late": 1, "mean_days": 26.0, "median_days": 26.0,
    }  # fmt: skip
    assert by_regulation["gdpr"] == {
        "received": 2, "denied": 2, "in_time": 1, "late": 1, "mean_days": 22.0, "median_days": 22.0,
    }  # fmt: skip
    by_operation = {one["operation"]: figures(one) for one in read["by_operation"]}
    assert {name: found["received"] for name, found in by_operation.items()} == {"correct_response": 2, "remove": 7}
    assert by_operation["correct_response"] == {
        "received": 2, "complied": 1, "open": 1, "overdue": 1, "late": 1, "mean_days": 50.0, "median_days": 50.0,
    }  # fmt: skip
    assert read["denials"] == [
        {"reason_code": "no_match", "count": 1}, {"reason_code": "suspected_fraud", "count": 1},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("days", "mean", "median"),
    [([3], 3, 3), ([1, 2], 1.5, 1.5), ([9, 1, 2], 4, 2), ([4, 1, 10, 2], 4.25, 3), ([1, 1, 1, 7], 2.5, 1)],
)
def test_means_and_medians(office: Office, days: Sequence[float], mean: float, median: float) -> None:
    for number, after in enumerate(days):
        office.answered(number, after, remove(f"p{number}-0"))
    total = office.summary()["total"]
    assert (total["mean_days"], total["median_days"]) == (mean, median)


def test_an_answer_on_the_last_second_is_in_time(office: Office) -> None:
    request = office.answered(0, 1, remove("p0-0"))
    for beyond, expected in ((0, "in_time"), (1, "late")):
        with office.api.store.write() as unit:
            row = unit.session.get_one(UnlearningRequest, request)
            row.finished_at = row.due_at + timedelta(milliseconds=beyond)
        assert office.summary()["total"][expected] == 1


def test_a_period_a_regulation_a_line(office: Office) -> None:
    office.answered(0, 1, remove("p0-0"), regulation="ccpa")
    office.answered(10, 2, remove("p1-0"), regulation="gdpr")
    office.denied(20, 3, RejectionCode.other, remove("p2-0"), regulation="gdpr")

    def received(**params: str) -> int:
        read = office.summary(**params)
        assert sum(one["received"] for one in read["by_operation"]) == read["total"]["received"]
        return int(read["total"]["received"])

    tenth, twentieth = ((START + timedelta(days=day)).isoformat() for day in (10, 20))
    assert received() == 3
    assert received(received_after=tenth) == 2
    assert received(received_after=tenth, received_before=twentieth) == 1
    assert received(regulation="gdpr") == 2
    assert received(adapter="strict") == 1
    assert office.summary(adapter="bot")["denials"] == []
    assert office.summary(received_after=tenth)["received_after"] == "2025-01-11T00:00:00Z"
    assert_problem(office.api.client.get(URL, params={"adapter": "nobody"}), 404, "unknown-adapter")
    refused = office.api.client.get(URL, params={"received_after": "2025"})
    assert_problem(refused, 422, "invalid-input", field="received_after")


def test_a_bound_key_counts_what_it_sees(office: Office) -> None:
    office.answered(0, 1, remove("p0-0"))
    office.denied(1, 3, RejectionCode.other, remove("p2-0"))
    read = office.api.client_with(lines=["bot"]).get(URL).json()
    assert (read["total"]["received"], read["total"]["denied"], read["denials"]) == (1, 0, [])
    assert [one["received"] for one in read["by_operation"]] == [1]


def test_as_a_table(office: Office) -> None:
    office.answered(0, 2, remove("p0-0"), regulation="ccpa")
    office.denied(1, 4, RejectionCode.no_match, remove("p3-0"))
    response = office.api.client.get(URL, headers={"Accept": "text/csv"})
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [(row["group"], row["name"], row["received"], row["denied"], row["mean_days"]) for row in rows] == [
        ("total", "", "2", "1", "3.0"),
        ("regulation", "", "1", "1", "4.0"),
        ("regulation", "ccpa", "1", "0", "2.0"),
        ("operation", "remove", "2", "1", "3.0"),
        ("denial", "no_match", "", "1", ""),
    ]
    read = office.summary()["total"]
    assert {name: rows[0][name] for name in read} == {name: str(value) for name, value in read.items()}
