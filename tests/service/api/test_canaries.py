"""A version on trial, over HTTP."""

import pytest

from tests.support.api import Api, assert_problem, removal
from tests.support.house import people

CANARY = "/v1/adapters/bot/aliases/production/canary"
BOUND = {"metric": "error_rate", "at_most": 0.02}


@pytest.fixture
def tried(api: Api) -> Api:
    """v1 in production, v2 on trial."""
    line = api.line("bot", people(8), promotion="canary", canary={"weight": 0.2, "hold_s": 0, "bounds": [BOUND]})
    api.client.post("/v1/unlearning-requests", json=removal("p1-0", strategy="influence"))
    api.serve(line)
    return api


def test_an_alias_shows_what_is_on_trial(tried: Api) -> None:
    body = tried.client.get("/v1/adapters/bot/aliases/production").json()
    assert body["version"] == "v1"
    canary = body["canary"]
    assert (canary["id"], canary["weight"], canary["measured"]) == ("bot@v2", 0.2, {})
    assert canary["waits_for"] == ["unmeasured:error_rate"]


def test_a_good_measurement_promotes_it_at_once(tried: Api) -> None:
    body = tried.client.post(f"{CANARY}/observations", json={"values": {"error_rate": 0.01}}).json()
    assert (body["version"], body["canary"]) == ("v2", None)


def test_a_bad_one_takes_it_back(tried: Api) -> None:
    body = tried.client.post(f"{CANARY}/observations", json={"values": {"error_rate": 0.9}}).json()
    assert (body["version"], body["canary"]) == ("v1", None)
    assert_problem(tried.client.delete(CANARY), 404, "no-canary")


def test_by_hand(tried: Api) -> None:
    assert tried.client.delete(CANARY).json()["canary"] is None
    again = tried.client.put(CANARY, json={"version": "v2", "rules": {"weight": 0.5}}).json()
    assert again["canary"]["weight"] == 0.5
    assert tried.client.post(f"{CANARY}/promote").json()["version"] == "v2"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"version": "v2", "rules": {"weight": 1}}, "/rules/weight"),
        ({"version": "v2", "rules": {"bounds": [{"metric": "x"}]}}, "/rules/bounds/0"),
        ({"version": "v2", "share": 0.5}, "/share"),
        ({}, "/version"),
    ],
)
def test_what_is_wrong_is_named(tried: Api, body: dict[str, object], field: str) -> None:
    assert_problem(tried.client.put(CANARY, json=body), 422, "invalid-input", field=field)


def test_a_value_that_is_none_is_refused(tried: Api) -> None:
    body, headers = b'{"values": {"error_rate": NaN}}', {"Content-Type": "application/json"}
    response = tried.client.post(f"{CANARY}/observations", content=body, headers=headers)
    assert response.status_code in (400, 422)
    assert tried.client.get("/v1/adapters/bot/aliases/production").json()["canary"]["measured"] == {}
