"""Rolling forward over HTTP: shown first, then done, and offered where going back is refused."""

from tests.support.api import Api, assert_problem, removal
from tests.support.house import people


def erase_one(api: Api) -> None:
    line = api.line("bot", people(6))
    api.client.post("/v1/unlearning-requests", json=removal("p1-0", strategy="influence"))
    api.serve(line)


def test_going_back_is_refused_and_rolling_forward_offered(api: Api) -> None:
    erase_one(api)
    refused = api.client.put("/v1/adapters/bot/aliases/production", json={"version": "v1", "expected": "v2"})
    problem = assert_problem(refused, 409, "undoes-erasure")
    made = api.client.post(str(problem["roll_forward"]), json={"version": "v1"})
    assert made.status_code == 202, made.text
    body = made.json()
    assert (body["version"], body["state"], body["rolls_forward"]) == ("v3", "preparing", "v1")
    assert made.headers["location"] == "/v1/adapters/bot/versions/v3"


def test_the_plan_changes_nothing(api: Api) -> None:
    erase_one(api)
    plan = api.client.post("/v1/adapters/bot/roll-forward-plans", json={"version": "v1"}).json()
    assert (plan["version"], plan["anchor"], plan["instances"], plan["replayed"]) == ("v1", "v1", 11, 1)
    assert plan["recipe"]["epochs"] == 2
    assert [v["version"] for v in api.client.get("/v1/adapters/bot/versions").json()["items"]] == ["v2", "v1"]


def test_what_is_wrong_is_named(api: Api) -> None:
    api.line("bot", people(6), recipe=None)
    path = "/v1/adapters/bot/roll-forwards"
    assert_problem(api.client.post(path, json={"version": "v1"}), 409, "not-rebuildable", field="/version")
    assert_problem(api.client.post(path, json={"version": "v7"}), 404, "unknown-version")
    assert_problem(api.client.post(path, json={}), 422, "invalid-input", field="/version")
    assert_problem(api.client.post("/v1/adapters/who/roll-forwards", json={"version": "v1"}), 404, "unknown-adapter")


def test_a_repeated_call_trains_once(api: Api) -> None:
    erase_one(api)
    headers = {"Idempotency-Key": "roll-1"}
    first, second = (
        api.client.post("/v1/adapters/bot/roll-forwards", json={"version": "v1"}, headers=headers) for _ in range(2)
    )
    assert first.json() == second.json()
