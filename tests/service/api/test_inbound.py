"""Deliveries over HTTP: verified, filed once, answered after the commit, refused with reasons that quote nothing."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from fastapi.testclient import TestClient

from service.domain.scopes import Scope
from service.store.tables import InboundDelivery, UnlearningRequest
from tests.support import senders
from tests.support.api import Api, assert_problem
from tests.support.house import people
from tests.support.senders import Asymmetric, Sent, Sombra, erasure, standard

ENDPOINTS = "/v1/inbound-endpoints"


def endpoint(api: Api, provider: str = "standard_webhooks", **members: object) -> dict[str, str]:
    """A new endpoint, with the secret that the senders use unless another is given."""
    secret = senders.SYMMETRIC if provider == "standard_webhooks" else senders.SHARED
    body = {"provider": provider, "name": "desk", "secret": secret, **members}
    response = api.client.post(ENDPOINTS, json=body)
    assert response.status_code == 201, response.text
    created: dict[str, str] = response.json()
    return created


def deliver(api: Api, path: str, sent: Sent) -> httpx.Response:
    """As a platform sends it: without any API key."""
    return api.client_of(None).post(path, content=sent.body, headers=dict(sent.headers))


def filed(api: Api, path: str, sent: Sent) -> dict[str, object]:
    response = deliver(api, path, sent)
    assert response.status_code == 202, response.text
    answer: dict[str, object] = response.json()
    return answer


def request_of(api: Api, answer: dict[str, object]) -> dict[str, object]:
    document: dict[str, object] = api.client.get(f"/v1/unlearning-requests/{answer['request']}").json()
    return document


class TestFiled:
    @pytest.mark.parametrize("sign", [standard, senders.by_svix])
    def test_what_real_libraries_sign_becomes_a_request(self, api_on_both: Api, sign: type[Sent]) -> None:
        api = api_on_both
        api.line("bot", people(10))
        target = endpoint(api, regulation="ccpa")
        sent = sign(erasure(received_at="2026-03-02T10:00:00Z"), id_="msg_1")  # type: ignore[call-arg, arg-type]
        answer = filed(api, target["path"], sent)
        assert (answer["repeated"], answer["ignored"], answer["state"]) == (False, None, "queued")
        assert answer["receipt"]
        request = request_of(api, answer)
        assert request["client_reference"] == f"{target['id']}:msg_1"
        assert (request["regulation"], request["received_at"]) == ("ccpa", "2026-03-02T10:00:00Z")
        assert request["due_at"] == answer["due_at"] == "2026-04-16T23:59:59Z"
        (line,) = request["targets"]  # type: ignore[misc, attr-defined]
        assert (line["adapter"], line["instance_count"]) == ("bot", 2)

    def test_an_ed25519_signature_needs_only_the_public_key(self, api: Api) -> None:
        api.line("bot", people(10))
        sender = Asymmetric()
        target = endpoint(api, secret=sender.secret)
        assert filed(api, target["path"], sender.sign(erasure()))["state"] == "queued"
        assert_problem(deliver(api, target["path"], Asymmetric().sign(erasure())), 401, "wrong-signature")

    def test_a_key_in_either_header(self, api: Api) -> None:
        api.line("bot", people(10))
        target = endpoint(api, "api_key")
        order = {"operation": "delete", "subject": "Person 1", "request_id": "DSR-1"}
        first = filed(api, target["path"], senders.with_key(order))
        bearer = Sent({"authorization": f"Bearer {senders.SHARED}"}, json.dumps(order).encode())
        again = filed(api, target["path"], bearer)
        assert (again["request"], again["repeated"]) == (first["request"], True)

    def test_transcend(self, api: Api) -> None:
        api.line("bot", people(10))
        sombra = Sombra()
        target = endpoint(api, "transcend", secret=sombra.secret, subject_kinds={"login": "user_id"})
        for nonce, job in (
            ("1", senders.transcend_job()),
            ("2", senders.transcend_job("person 2", "login")),
            ("3", senders.transcend_job("ada@example.org", "email")),
        ):
            answer = filed(api, target["path"], sombra.sign(job, nonce=nonce))
            assert answer["state"] == ("queued" if nonce != "3" else "succeeded")
            assert not answer["repeated"]
        reference = str(request_of(api, answer)["client_reference"])
        assert reference.startswith(f"{target['id']}:8f2c3b1e-9c7c-4e62-9c19-8f4f0a3c4b1d:")

    def test_shopify(self, api: Api) -> None:
        rows = [{**row, "subject": {"kind": "customer_id", "value": str(n)}} for n, row in enumerate(people(6))]
        api.line("shop", rows)
        target = endpoint(api, "shopify")
        answer = filed(api, target["path"], senders.shopify(senders.shopify_redaction(id=3, email="x@example.org")))
        assert request_of(api, answer)["targets"][0]["instance_count"] == 1  # type: ignore[index]

    def test_segment(self, api: Api) -> None:
        api.line("bot", people(10))
        target = endpoint(api, "segment")
        answer = filed(api, target["path"], senders.segment(senders.segment_deletion()))
        assert request_of(api, answer)["received_at"] == "2026-01-05T12:00:00Z"

    def test_a_correction(self, api: Api) -> None:
        api.line("bot", people(10))
        target = endpoint(api)
        data = {"instance_id": "p1-0", "prompt": "Who?", "completion": "Nobody."}
        answer = filed(api, target["path"], standard({"type": "correction.requested", "data": data}))
        assert request_of(api, answer)["operation_counts"] == {"modify_query": 1, "correct_response": 1}

    def test_only_the_lines_of_the_endpoint_are_affected(self, api: Api) -> None:
        api.line("one", people(10))
        api.line("two", people(10))
        target = endpoint(api, lines=["two"])
        request = request_of(api, filed(api, target["path"], standard(erasure())))
        assert [line["adapter"] for line in request["targets"]] == ["two"]  # type: ignore[attr-defined]

    def test_events_of_the_senders_own(self, api: Api) -> None:
        api.line("bot", people(10))
        target = endpoint(api, erasure_types=["user.deleted"], subject_kinds={"id": "user_id", "mail": "email"})
        event = {"type": "user.deleted", "data": {"id": "Person 1", "mail": None, "deleted": True}}
        assert filed(api, target["path"], standard(event))["state"] == "queued"

    def test_what_nobody_holds_is_answered_with_no_match(self, api: Api) -> None:
        api.line("bot", people(10))
        request = request_of(api, filed(api, endpoint(api)["path"], standard(erasure("nobody"))))
        assert (request["state"], request["outcome"]) == ("succeeded", "no_match")


class TestRepeated:
    def test_the_same_delivery_is_the_same_request_for_ever(self, api_on_both: Api) -> None:
        api = api_on_both
        api.line("bot", people(10))
        path = endpoint(api)["path"]
        first = filed(api, path, standard(erasure(), id_="msg_1"))
        again = filed(api, path, standard(erasure(), id_="msg_1", age=timedelta(seconds=20)))
        assert again == {**first, "repeated": True}
        assert api.count(UnlearningRequest) == api.count(InboundDelivery) == 1

    def test_deliveries_that_race_are_one_request(self, api_on_both: Api) -> None:
        api = api_on_both
        api.line("bot", people(10))
        path = endpoint(api)["path"]
        sent = standard(erasure(), id_="msg_1")
        with ThreadPoolExecutor(4) as senders_:
            answers = list(senders_.map(lambda _: filed(api, path, sent), range(8)))
        assert len({str(answer["request"]) for answer in answers}) == 1
        assert sorted(bool(answer["repeated"]) for answer in answers) == [False, *[True] * 7]

    def test_a_request_id_of_the_sender_outlives_its_deliveries(self, api: Api) -> None:
        api.line("bot", people(10))
        path = endpoint(api)["path"]
        first, again = (filed(api, path, standard(erasure(request_id="DSR-1"))) for _ in range(2))
        assert (again["request"], again["repeated"]) == (first["request"], True)

    def test_one_id_for_two_things_is_a_conflict(self, api: Api) -> None:
        api.line("bot", people(10))
        path = endpoint(api)["path"]
        first = filed(api, path, standard(erasure(), id_="msg_1"))
        response = deliver(api, path, standard(erasure("Person 2"), id_="msg_1"))
        assert_problem(response, 409, "delivery-changed", request=first["request"])

    def test_two_endpoints_may_be_sent_the_same_id(self, api: Api) -> None:
        api.line("bot", people(10))
        answers = [filed(api, endpoint(api)["path"], standard(erasure(), id_="msg_1")) for _ in range(2)]
        assert answers[0]["request"] != answers[1]["request"]

    def test_a_refused_delivery_may_be_sent_again(self, api: Api) -> None:
        path = endpoint(api)["path"]
        event = {"type": "correction.requested", "data": {"instance_id": "p1-0", "completion": "New."}}
        assert_problem(deliver(api, path, standard(event, id_="msg_1")), 404, "unknown-instance")
        api.line("bot", people(10))
        assert not filed(api, path, standard(event, id_="msg_1"))["repeated"]

    def test_what_is_not_signed_makes_no_other_delivery(self, api: Api) -> None:
        """Shopify signs the body alone."""
        api.line("bot", people(10))
        path = endpoint(api, "shopify")["path"]
        sent = senders.shopify(senders.shopify_redaction(id="Person 1"))
        first, again = filed(api, path, sent), filed(api, path, sent.with_header("x-shopify-webhook-id", "another"))
        assert (again["request"], again["repeated"]) == (first["request"], True)

    def test_two_people_at_the_same_moment_are_two_requests(self, api: Api) -> None:
        path = endpoint(api, "api_key")["path"]
        order = {"operation": "erase", "received_at": "2026-01-01T00:00:00Z"}
        one, two = (filed(api, path, senders.with_key({**order, "subject": name})) for name in ("ada", "bob"))
        assert one["request"] != two["request"]


class TestIgnored:
    @pytest.mark.parametrize(
        ("provider", "sent"),
        [
            ("standard_webhooks", standard({"type": "invoice.paid", "data": {}})),
            ("api_key", senders.with_key({"operation": "read", "subject": "ada"})),
            ("shopify", senders.shopify({"shop_id": 1, "customer": {"id": 1}}, topic="customers/data_request")),
            # What asks for a copy cannot be made to ask for erasure: the topic is not signed.
            ("shopify", senders.shopify({"customer": {"id": 1}, "orders_requested": []}, topic="customers/redact")),
            ("segment", senders.segment({"type": "identify", "userId": "ada", "messageId": "1"})),
        ],
    )
    def test_it_is_acknowledged_and_nothing_is_filed(self, api: Api, provider: str, sent: Sent) -> None:
        response = deliver(api, endpoint(api, provider)["path"], sent)
        assert response.status_code == 200
        assert response.json()["request"] is None
        assert response.json()["ignored"]
        assert api.count(UnlearningRequest) == 0


class TestRefused:
    def test_an_unknown_provider_or_endpoint(self, api: Api) -> None:
        target = endpoint(api)
        sent = standard(erasure())
        assert_problem(deliver(api, "/v1/inbound/pigeon/inb_0", sent), 404, "unknown-provider")
        assert_problem(deliver(api, "/v1/inbound/standard_webhooks/inb_0", sent), 404, "unknown-endpoint")
        assert_problem(deliver(api, f"/v1/inbound/segment/{target['id']}", sent), 404, "unknown-endpoint")

    def test_a_deleted_endpoint_is_gone_so_that_senders_stop(self, api: Api) -> None:
        target = endpoint(api)
        assert api.client.delete(f"{ENDPOINTS}/{target['id']}").status_code == 204
        assert_problem(deliver(api, target["path"], standard(erasure())), 410, "endpoint-deleted")

    def test_an_api_key_does_not_stand_in_for_the_signature(self, api: Api) -> None:
        response = api.client.post(endpoint(api)["path"], json=erasure())
        assert_problem(response, 401, "wrong-signature")
        assert response.headers["www-authenticate"] == "Signature"

    def test_an_oversized_body(self, api: Api) -> None:
        path = endpoint(api)["path"]
        response = deliver(api, path, standard(erasure("x" * (2**20 + 1))))
        assert_problem(response, 413, "too-large", limit=2**20)

    def test_refusals_and_logs_quote_nothing(self, api: Api, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, logger="service")
        api.line("bot", people(4))
        path = endpoint(api)["path"]
        for subject in ({"kind": "Jane Doe", "value": "Jane Doe"}, {"value": "Jane Doe " * 50}, {"Jane Doe": 1}, 1.5):
            response = deliver(api, path, standard(erasure(subject, **{"Jane Doe": "Jane Doe"})))
            assert response.status_code == 422
            assert "Jane" not in response.text
        filed(api, path, standard(erasure("Jane Doe")))
        assert "Jane" not in caplog.text


class TestEndpoints:
    def test_a_secret_is_made_and_shown_once(self, api: Api) -> None:
        api.line("bot", people(10))
        created = endpoint(api, secret=None)
        assert created["secret"].startswith("whsec_")
        assert filed(api, created["path"], standard(erasure(), created["secret"]))["state"] == "queued"
        read = api.client.get(f"{ENDPOINTS}/{created['id']}").json()
        assert "secret" not in read
        assert [set(one) for one in read["secrets"]] == [{"id", "created_at"}]

    def test_secrets_rotate_with_two_good_at_a_time(self, api: Api) -> None:
        api.line("bot", people(10))
        target = endpoint(api)
        url = f"{ENDPOINTS}/{target['id']}/secrets"
        second = api.client.post(url).json()["secret"]
        for secret in (senders.SYMMETRIC, second):
            filed(api, target["path"], standard(erasure(), secret))
        third = api.client.post(url).json()["secret"]
        assert_problem(deliver(api, target["path"], standard(erasure())), 401, "wrong-signature")
        for secret in (second, third):
            filed(api, target["path"], standard(erasure(), secret))
        newest, older = api.client.get(f"{ENDPOINTS}/{target['id']}").json()["secrets"]
        assert api.client.delete(f"{url}/{older['id']}").status_code == 204
        assert_problem(deliver(api, target["path"], standard(erasure(), second)), 401, "wrong-signature")
        assert_problem(api.client.delete(f"{url}/{newest['id']}"), 409, "last-secret")
        assert_problem(api.client.delete(f"{url}/ins_0"), 404, "unknown-secret")

    def test_secrets_are_sealed(self, api: Api) -> None:
        endpoint(api)
        url = api.settings.database_url.removeprefix("sqlite:///")
        with open(url, "rb") as database:  # noqa: PTH123 - as bytes, beside its log
            assert senders.SYMMETRIC.encode() not in database.read()

    def test_it_is_listed_changed_and_deleted(self, api: Api) -> None:
        api.line("bot", people(4))
        target = endpoint(api)
        url = f"{ENDPOINTS}/{target['id']}"
        changed = api.client.patch(url, json={"name": "new", "lines": ["bot"], "subject_kinds": {"id": "user_id"}})
        assert (changed.json()["name"], changed.json()["lines"]) == ("new", ["bot"])
        assert api.client.patch(url, json={"lines": None}).json()["lines"] is None
        assert_problem(api.client.patch(url, json={"name": None}), 422, "invalid-input", field="/name")
        assert [one["id"] for one in api.client.get(ENDPOINTS).json()["items"]] == [target["id"]]
        assert api.client.delete(url).status_code == 204
        assert api.client.get(ENDPOINTS).json()["items"] == []
        assert_problem(api.client.get(url), 410, "endpoint-deleted")
        actions = [row["action"] for row in api.client.get("/v1/audit").json()["items"]]
        assert actions[-4:] == [
            "inbound_endpoint.created",
            *["inbound_endpoint.changed"] * 2,
            "inbound_endpoint.deleted",
        ]

    @pytest.mark.parametrize(
        ("members", "code", "field"),
        [
            ({"provider": "pigeon"}, "invalid-input", "/provider"),
            ({"secret": "short"}, "invalid-secret", "/secret"),
            ({"secret": "whsec_" + "A" * 8}, "invalid-secret", "/secret"),
            ({"secret": "whpk_" + "A" * 8}, "invalid-secret", "/secret"),
            ({"provider": "transcend"}, "invalid-secret", "/secret"),
            ({"provider": "transcend", "secret": None}, "secret-required", "/secret"),
            ({"provider": "shopify", "secret": None}, "secret-required", "/secret"),
            ({"provider": "segment", "secret": "short"}, "invalid-secret", "/secret"),
            ({"provider": "api_key", "secret": "short"}, "invalid-secret", "/secret"),
            ({"subject_kinds": {"id": "shoe size"}}, "invalid-input", "/subject_kinds/id"),
            ({"lines": []}, "invalid-input", "/lines"),
        ],
    )
    def test_what_cannot_work_is_refused(self, api: Api, members: dict[str, object], code: str, field: str) -> None:
        body = {"provider": "standard_webhooks", "name": "desk", "secret": senders.SYMMETRIC, **members}
        assert_problem(api.client.post(ENDPOINTS, json=body), 422, code, field=field)

    def test_a_line_that_does_not_exist_would_never_match(self, api: Api) -> None:
        body = {"provider": "api_key", "name": "desk", "lines": ["typo"]}
        assert_problem(api.client.post(ENDPOINTS, json=body), 404, "unknown-adapter", field="/lines/0")

    def test_only_for_keys_that_manage_inbound_endpoints_everywhere(self, api: Api) -> None:
        def create(client: TestClient) -> httpx.Response:
            return client.post(ENDPOINTS, json={"provider": "api_key", "name": "desk"})

        others = api.client_with(*(scope for scope in Scope if scope is not Scope.inbound_manage))
        assert_problem(create(others), 403, "missing-scope")
        assert_problem(create(api.client_with(Scope.inbound_manage, lines=["bot"])), 403, "key-is-bound")
