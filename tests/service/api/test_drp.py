"""The Data Rights Protocol over HTTP: an agent pairs, files, follows and revokes; everybody else is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.store.migrate import upgrade
from service.store.tables import AgentToken, StatusCallback, UnlearningRequest
from service.webhooks.inbound.payload import MAX_BYTES, MAX_DEPTH
from tests.support.api import Api, assert_problem
from tests.support.drp import BUSINESS, REQUESTS, Agent, altered
from tests.support.house import people

HOUR = timedelta(hours=1)


@pytest.fixture
def agent() -> Agent:
    return Agent()


@pytest.fixture
def paired(api: Api, agent: Agent) -> Agent:
    """An agent with a token, and a line about ten people."""
    rows: list[dict[str, Any]] = [{**row, "subject": {"kind": "email", "value": row["subject"]}} for row in people(10)]
    api.line("bot", rows)
    agent.register(api)
    assert agent.pair(api).status_code == 200
    return agent


def status(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def refused(response: httpx.Response, code: int, problem: str, *, fatal: bool = True) -> dict[str, Any]:
    """An error of section 3.06, which quotes nothing of what was sent."""
    assert response.status_code == code, response.text
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()
    assert (error["code"], error["problem"], error["fatal"]) == (str(code), problem, fatal), error
    assert error["message"]
    assert "Person 1" not in response.text
    return error


class TestPairing:
    def test_a_signed_message_gets_a_token_that_is_good(self, api: Api, agent: Agent) -> None:
        agent.register(api)
        response = agent.pair(api)
        assert response.json() == {"agent-id": agent.name, "token": agent.token}
        good = agent.client(api).get(f"/drp/v1/agent/{agent.name}")
        assert (good.status_code, good.json()) == (200, {})

    def test_a_message_works_once(self, api: Api, agent: Agent) -> None:
        agent.register(api)
        body, path = agent.signed(agent.claims()), f"/drp/v1/agent/{agent.name}"
        assert agent.post(api, path, body).status_code == 200
        again = agent.post(api, path, body)
        assert (again.status_code, again.content) == (403, b"")
        assert api.count(AgentToken) == 1

    def test_two_tokens_are_good_and_older_ones_not(self, api: Api, agent: Agent) -> None:
        agent.register(api)
        tokens = []
        for _ in range(3):
            agent.pair(api)
            tokens.append(agent.token)
        good = [api.client_of(token).get(f"/drp/v1/agent/{agent.name}").status_code for token in tokens]
        assert good == [401, 200, 200]

    @pytest.mark.parametrize(
        "members",
        [
            {"agent-id": "SOMEBODY_ELSE"},
            {"business-id": "OTHER_LTD"},
            {"issued-at": (datetime.now(UTC) + HOUR).isoformat()},
            {"expires-at": (datetime.now(UTC) - HOUR).isoformat()},
            {"drp.version": "0.9"},
            {"drp.version": None},
            {"business-id": None},
            {"issued-at": "yesterday"},
        ],
    )
    def test_a_message_that_does_not_prove_what_it_must(self, api: Api, agent: Agent, members: dict[str, Any]) -> None:
        agent.register(api)
        response = agent.pair(api, **members)
        assert (response.status_code, response.content) == (403, b"")
        assert api.count(AgentToken) == 0

    def test_a_stranger_and_an_agent_nobody_knows(self, api: Api, agent: Agent) -> None:
        agent.register(api)
        for stranger in (Agent(), Agent("NOBODY")):
            response = stranger.pair(api)
            assert (response.status_code, response.content) == (403, b"")
        for body in (b"", b"@@@", b"AAAA", agent.signed(b"{"), altered(agent.signed(agent.claims()), 3)):
            assert agent.post(api, f"/drp/v1/agent/{agent.name}", body).status_code == 403

    def test_one_agent_may_ask_several_businesses_with_one_key(self, api: Api, agent: Agent) -> None:
        agent.register(api)
        agent.register(api, business_id="OTHER_LTD")
        agent.pair(api)
        first = status(agent.send(api, agent.deletion()))["request_id"]
        other = {"business-id": "OTHER_LTD"}
        refused(agent.send(api, agent.deletion(**other)), 403, "wrong-business")
        agent.pair(api, **other)
        assert status(agent.send(api, agent.deletion(**other)))
        refused(agent.read(api, first), 403, "foreign-request")

    def test_a_deleted_endpoint_has_no_agent(self, api: Api, agent: Agent) -> None:
        endpoint = agent.register(api)
        agent.pair(api)
        api.client.delete(f"/v1/inbound-endpoints/{endpoint}")
        refused(agent.send(api, agent.deletion()), 401, "unauthenticated", fatal=False)
        assert agent.pair(api).status_code == 403


class TestFiled:
    def test_a_deletion_becomes_a_request_and_is_followed_to_its_end(self, api: Api, paired: Agent) -> None:
        told = status(paired.send(api, paired.deletion(**{"agent-request-id": "4711"})))
        request = api.client.get(f"/v1/unlearning-requests/{told['request_id']}").json()
        assert (request["regulation"], request["state"]) == ("ccpa", "queued")
        assert request["targets"][0]["instance_count"] == 2
        assert told == {
            "request_id": request["id"],
            "agent_request_id": "4711",
            "received_at": told["received_at"],
            "expected_by": told["expected_by"],
            "status": "open",
        }
        assert (
            datetime.fromisoformat(told["expected_by"]) - datetime.fromisoformat(told["received_at"]) > 44 * 24 * HOUR
        )
        with api.store.read() as unit:
            line = unit.lines.by_name("bot")
        assert line is not None
        claimed = api.claim_queued(line.id)
        assert status(paired.read(api, request["id"]))["status"] == "in_progress"
        api.answer(claimed)
        assert status(paired.read(api, request["id"]))["status"] == "fulfilled"

    def test_nobody_found_is_denied_with_the_reason(self, api: Api, paired: Agent) -> None:
        told = status(paired.send(api, paired.deletion("eve@example.org")))
        assert (told["status"], told["reason"]) == ("denied", "no_match")
        assert told["processing_details"]
        assert "agent_request_id" not in told

    def test_the_same_id_is_the_same_request_and_no_other(self, api: Api, paired: Agent) -> None:
        first, again = (status(paired.send(api, paired.deletion(**{"agent-request-id": "4711"}))) for _ in range(2))
        assert first == again
        other = paired.deletion("Person 2", **{"agent-request-id": "4711"})
        refused(paired.send(api, other), 409, "delivery-changed")
        assert api.count(UnlearningRequest) == 1

    def test_without_an_id_the_message_is_what_a_repetition_is_known_by(self, api: Api, paired: Agent) -> None:
        message = paired.deletion()
        first, again, other = (
            status(paired.send(api, one))["request_id"] for one in (message, message, paired.deletion())
        )
        assert first == again != other

    def test_what_the_agent_did_not_verify_finds_nobody(self, api: Api, paired: Agent) -> None:
        for flag in (None, False, "true"):
            message = paired.deletion(email_verified=flag)
            refused(paired.send(api, message), 400, "identity-not-verified")
        both = paired.deletion(email_verified=False, phone_number="+49 30 1", phone_number_verified=True)
        # No dataset here speaks of telephone numbers, so nobody can tell.
        assert status(paired.send(api, both))["processing_details"] == "Somebody has to look at it."
        refused(paired.send(api, paired.deletion(None)), 400, "no-subject")

    def test_claims_that_the_endpoint_trusts(self, api: Api, agent: Agent) -> None:
        api.line("bot", people(4))
        agent.register(api, subject_kinds={"customer": "customer_id"}, regulation="gdpr", lines=["bot"])
        agent.pair(api)
        told = status(agent.send(api, agent.deletion(None, customer="Person 1", regime=None)))
        request = api.client.get(f"/v1/unlearning-requests/{told['request_id']}").json()
        assert (request["targets"][0]["instance_count"], request["regulation"]) == (2, "gdpr")


class TestRevoked:
    def test_an_open_request_and_again(self, api: Api, paired: Agent) -> None:
        request = status(paired.send(api, paired.deletion()))["request_id"]
        for _ in range(2):
            told = status(paired.revoke(api, request, {"reason": "I want to stay."}))
            assert (told["request_id"], told["status"]) == (request, "revoked")
        assert "I want to stay" not in api.client.get(f"/v1/unlearning-requests/{request}").text

    def test_too_late(self, api: Api, paired: Agent) -> None:
        request = status(paired.send(api, paired.deletion("eve@example.org")))["request_id"]
        refused(paired.revoke(api, request, {}), 409, "illegal-transition")

    def test_only_with_a_signature(self, api: Api, paired: Agent) -> None:
        request = status(paired.send(api, paired.deletion()))["request_id"]
        stranger = Agent()
        stranger.token = paired.token
        refused(stranger.revoke(api, request, {}), 401, "wrong-signature", fatal=False)
        refused(paired.revoke(api, request, {"reason": 1}), 400, "invalid-input")
        refused(paired.revoke(api, request, []), 400, "malformed-json")
        assert status(paired.read(api, request))["status"] == "open"


class TestRefused:
    @pytest.mark.parametrize(
        ("members", "code", "problem", "field"),
        [
            ({"agent-id": "OTHER"}, 403, "wrong-agent", "/agent-id"),
            ({"business-id": "OTHER"}, 403, "wrong-business", "/business-id"),
            # The order of section 3.07 decides which of several faults is told.
            ({"agent-id": "OTHER", "business-id": "OTHER", "issued-at": "?"}, 403, "wrong-agent", "/agent-id"),
            ({"business-id": "OTHER", "expires-at": "2020-01-01T00:00:00Z"}, 403, "wrong-business", "/business-id"),
            ({"expires-at": "2020-01-01T00:00:00Z"}, 401, "stale-timestamp", "/expires-at"),
            ({"expires-at": "soon"}, 400, "invalid-input", "/expires-at"),
            ({"expires-at": "2026-01-01T00:00:00"}, 400, "invalid-input", "/expires-at"),
            ({"expires-at": None}, 400, "invalid-input", "/expires-at"),
            ({"drp.version": "0.9.4"}, 400, "invalid-input", None),
            ({"exercise": "access"}, 400, "unsupported", "/exercise"),
            ({"exercise": "sale:opt-out"}, 400, "unsupported", "/exercise"),
            ({"exercise": ["deletion"]}, 400, "invalid-input", "/exercise"),
            ({"regime": "the law of the jungle"}, 400, "invalid-input", "/regime"),
            ({"agent-request-id": "Jane's request"}, 400, "invalid-input", "/agent-request-id"),
            ({"email": {"value": "x"}}, 400, "invalid-input", "/email/value"),
            ({"status_callback": "https://agent.example.com/"}, 400, "callback-refused", "/status_callback"),
        ],
    )
    def test_signed_and_still_not_acceptable(
        self, api: Api, paired: Agent, members: dict[str, Any], code: int, problem: str, field: str | None
    ) -> None:
        error = refused(paired.send(api, paired.deletion(**members)), code, problem)
        assert error["field"] == field or field is None
        assert api.count(UnlearningRequest) == 0

    def test_one_from_the_future_may_be_sent_again(self, api: Api, paired: Agent) -> None:
        message = paired.deletion(**{"issued-at": (datetime.now(UTC) + HOUR).isoformat()})
        refused(paired.send(api, message), 401, "issued-in-future", fatal=False)

    def test_no_signature_of_this_agent(self, api: Api, paired: Agent) -> None:
        body, stranger = paired.signed(paired.deletion()), Agent()
        refused(paired.post(api, REQUESTS, stranger.signed(paired.deletion())), 401, "wrong-signature", fatal=False)
        for position in (0, 63, 64, -1):
            refused(paired.post(api, REQUESTS, altered(body, position)), 401, "wrong-signature", fatal=False)
        assert api.count(UnlearningRequest) == 0

    @pytest.mark.parametrize("body", [b"", b"{}", b"AAAA", b"\xff\xfe", "é".encode(), b"A" * 87])
    def test_no_signed_message(self, api: Api, paired: Agent, body: bytes) -> None:
        refused(paired.post(api, REQUESTS, body), 400, "malformed-message")

    @pytest.mark.parametrize(
        ("message", "problem"),
        [
            (b"", "malformed-json"),
            (b"[]", "malformed-json"),
            (b'{"agent-id": NaN}', "malformed-json"),
            (b'{"agent-id": "a", "agent-id": "b"}', "duplicate-member"),
            (b'{"a":' * (MAX_DEPTH + 2) + b"1" + b"}" * (MAX_DEPTH + 2), "too-deep"),
            (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too-deep"),
        ],
    )
    def test_signed_and_no_json(self, api: Api, paired: Agent, message: bytes, problem: str) -> None:
        refused(paired.send(api, message), 400, problem)

    def test_too_large(self, api: Api, paired: Agent) -> None:
        refused(paired.post(api, REQUESTS, b"A" * (MAX_BYTES + 1)), 413, "too-large")

    def test_tokens(self, api: Api, paired: Agent) -> None:
        request = status(paired.send(api, paired.deletion()))["request_id"]
        for token in (None, "lethe_drp_unknown", ""):
            anybody = Agent()
            anybody.key, anybody.token = paired.key, token
            for answer in (
                anybody.send(api, paired.deletion()),
                anybody.read(api, request),
                anybody.revoke(api, request, {}),
                anybody.client(api).get(f"/drp/v1/agent/{paired.name}"),
            ):
                refused(answer, 401, "unauthenticated", fatal=False)
                assert answer.headers["www-authenticate"] == "Bearer"
        # An API key is no agent's token, and a token no key.
        refused(api.client.get(f"{REQUESTS}/{request}"), 401, "unauthenticated", fatal=False)
        assert paired.client(api).get("/v1/adapters").status_code == 401

    def test_requests_of_others_are_as_if_there_were_none(self, api: Api, paired: Agent) -> None:
        other = Agent("OTHER")
        other.register(api)
        other.pair(api)
        request = status(paired.send(api, paired.deletion()))["request_id"]
        for name in (request, "req_0"):
            refused(other.read(api, name), 403, "foreign-request")
            refused(other.revoke(api, name, {}), 403, "foreign-request")
        refused(other.client(api).get(f"/drp/v1/agent/{paired.name}"), 403, "wrong-agent")
        refused(paired.read(api, "x" * 49), 400, "invalid-input")


class TestEndpoints:
    def test_it_says_who_asks_whom(self, api: Api, agent: Agent) -> None:
        endpoint = agent.register(api, callback_hosts=["b.example", "a.example"])
        read = api.client.get(f"/v1/inbound-endpoints/{endpoint}").json()
        assert (read["agent_id"], read["business_id"]) == (agent.name, BUSINESS)
        assert (read["path"], read["callback_hosts"]) == (REQUESTS, ["a.example", "b.example"])
        changed = api.client.patch(f"/v1/inbound-endpoints/{endpoint}", json={"callback_hosts": None})
        assert changed.json()["callback_hosts"] is None

    @pytest.mark.parametrize(
        ("members", "code", "field"),
        [
            ({"agent_id": None}, "parties-required", "/agent_id"),
            ({"business_id": None}, "parties-required", "/business_id"),
            ({"secret": None}, "secret-required", "/secret"),
            ({"secret": "AAAA"}, "invalid-secret", "/secret"),
            ({"secret": "é" * 43}, "invalid-secret", "/secret"),
            ({"agent_id": "a/b"}, "invalid-input", "/agent_id"),
            ({"callback_hosts": ["https://agent.example"]}, "invalid-input", "/callback_hosts/0"),
            ({"provider": "segment", "secret": None}, "invalid-input", "/agent_id"),
        ],
    )
    def test_what_does_not_fit(self, api: Api, agent: Agent, members: dict[str, Any], code: str, field: str) -> None:
        parties = {"agent_id": agent.name, "business_id": BUSINESS, "secret": agent.verify_key}
        body = {"provider": "drp", "name": "agent", **parties, **members}
        assert_problem(api.client.post("/v1/inbound-endpoints", json=body), 422, code, field=field)

    def test_two_sides_have_one_endpoint(self, api: Api, agent: Agent) -> None:
        endpoint = agent.register(api)
        body = {"provider": "drp", "name": "x", "agent_id": agent.name, "business_id": BUSINESS}
        again = api.client.post("/v1/inbound-endpoints", json={**body, "secret": agent.verify_key})
        assert_problem(again, 409, "agent-known")
        api.client.delete(f"/v1/inbound-endpoints/{endpoint}")
        agent.register(api)

    def test_another_verify_key_may_take_over(self, api: Api, agent: Agent) -> None:
        endpoint, successor = agent.register(api), Agent()
        agent.pair(api)
        successor.token = agent.token
        secret = {"secret": successor.verify_key}
        assert api.client.post(f"/v1/inbound-endpoints/{endpoint}/secrets", json=secret).status_code == 201
        for one in (agent, successor):
            assert status(one.send(api, one.deletion()))

    def test_it_has_no_webhook(self, api: Api, agent: Agent) -> None:
        endpoint = agent.register(api)
        response = api.client_of(None).post(f"/v1/inbound/drp/{endpoint}", content=agent.signed(agent.deletion()))
        assert_problem(response, 404, "unknown-provider")

    def test_callbacks_are_those_of_agents(self, api: Api) -> None:
        made = api.client.post("/v1/inbound-endpoints", json={"provider": "segment", "name": "x"}).json()
        response = api.client.patch(f"/v1/inbound-endpoints/{made['id']}", json={"callback_hosts": ["a.example"]})
        assert_problem(response, 422, "invalid-input", field="/callback_hosts")


def test_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    upgrade(postgres_url)
    api, agent = Api(tmp_path / "home", postgres_url), Agent()
    api.line("bot", people(4))
    agent.register(api, callback_hosts=["agent.example.com"])
    agent.pair(api)
    message = agent.deletion(status_callback="https://agent.example.com/status?id=7")
    told = status(agent.send(api, message))
    assert status(agent.send(api, message)) == told
    (callback,) = api.client.get(f"/v1/unlearning-requests/{told['request_id']}/status-callbacks").json()["items"]
    assert (callback["protocol"], callback["url"]) == ("drp", "https://agent.example.com/status")
    assert status(agent.revoke(api, told["request_id"], {}))["status"] == "revoked"
    assert api.count(StatusCallback) == 1
    api.store.close()
