"""What a request would do, asked before it is filed: nothing changes by asking."""

import pytest

from service.store.tables import OperationRow, Run, Target, UnlearningRequest
from tests.support.api import Api, assert_problem, correction, erasure, removal
from tests.support.filing import file
from tests.support.house import people


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
