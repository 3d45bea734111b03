"""Webhook endpoints over HTTP: secrets shown once, filters and URLs checked, deliveries visible and sent again."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.domain.scopes import Scope
from service.domain.webhooks import Attempt
from service.flows.deliver import claim_delivery, settle
from service.flows.fan_out import fan_out
from service.store.tables import WebhookSecret
from tests.support.api import Api, assert_problem

URL = "/v1/webhook-endpoints"
HOOK = {"url": "https://example.com/hook"}


def make(api: Api, **members: Any) -> dict[str, Any]:
    response = api.client.post(URL, json={**HOOK, **members})
    assert response.status_code == 201, response.text
    assert response.headers["location"] == f"{URL}/{response.json()['id']}"
    made: dict[str, Any] = response.json()
    return made


def serve(api: Api, endpoint: str, status: int = 204) -> None:
    """Play the sender until nothing is due."""
    with api.store.write() as unit:
        fan_out(unit, endpoint)
    while True:
        with api.store.write() as unit:
            claimed = claim_delivery(unit, api.vault, endpoint)
        if claimed is None:
            return
        with api.store.write() as unit:
            settle(unit, claimed, Attempt(status, None, 0.0123), chance=0)


class TestCreate:
    def test_ed25519_unless_it_is_asked_otherwise(self, api_on_both: Api) -> None:
        made = make(api_on_both)
        (key,) = made["keys"]
        assert (key["scheme"], made["secret"], key["expires_at"]) == ("ed25519", None, None)
        assert len(base64.b64decode(key["public_key"].removeprefix("whpk_"))) == 32
        assert made["enabled"] is True
        assert (made["event_types"], made["lines"]) == (None, None)
        read = api_on_both.client.get(f"{URL}/{made['id']}").json()
        assert read == {name: value for name, value in made.items() if name != "secret"}

    def test_a_shared_secret_is_shown_once(self, api: Api) -> None:
        headers, body = {"Idempotency-Key": "hook-1"}, {**HOOK, "scheme": "hmac"}
        first, second = (api.client.post(URL, json=body, headers=headers).json() for _ in range(2))
        assert len(base64.b64decode(first["secret"].removeprefix("whsec_"))) == 32
        assert second == {**first, "secret": None}
        for path in (URL, f"{URL}/{first['id']}"):
            assert first["secret"] not in api.client.get(path).text
        assert api.count(WebhookSecret) == 1

    def test_the_database_holds_no_secret(self, api: Api, sqlite_url: str) -> None:
        secret = make(api, scheme="hmac")["secret"].removeprefix("whsec_")
        api.store.drop_history()
        data = Path(sqlite_url.removeprefix("sqlite:///")).read_bytes()
        assert secret.encode() not in data
        assert base64.b64decode(secret) not in data

    @pytest.mark.parametrize(
        ("body", "code", "field"),
        [
            ({}, "invalid-input", "/url"),
            ({"url": "http://example.com/"}, "scheme-refused", "/url"),
            ({"url": "https://10.0.0.1/"}, "address-refused", "/url"),
            ({"url": "https://[::1]/"}, "address-refused", "/url"),
            ({"url": "https://u:p@example.com/"}, "invalid-url", "/url"),
            ({**HOOK, "event_types": []}, "invalid-input", "/event_types"),
            ({**HOOK, "event_types": ["*"]}, "invalid-input", "/event_types/0"),
            ({**HOOK, "event_types": ["request.*", "request.stat"]}, "unknown-event-type", "/event_types/1"),
            ({**HOOK, "lines": []}, "invalid-input", "/lines"),
            ({**HOOK, "lines": ["../"]}, "invalid-input", "/lines/0"),
            ({**HOOK, "scheme": "rsa"}, "invalid-input", "/scheme"),
            ({**HOOK, "secret": "mine"}, "invalid-input", "/secret"),
        ],
    )
    def test_what_is_refused(self, api: Api, body: dict[str, object], code: str, field: str) -> None:
        assert_problem(api.client.post(URL, json=body), 422, code, field=field)
        assert api.client.get(URL).json()["items"] == []

    def test_http_and_inside_where_the_operator_allows_it(self, sqlite_url: str, tmp_path: Path) -> None:
        api = Api(tmp_path / "home", sqlite_url, allow_http=True, allow_networks="10.0.0.0/8")
        make(api, url="http://10.0.0.1:8080/hook")
        assert_problem(api.client.post(URL, json={"url": "http://127.0.0.1/"}), 422, "address-refused", field="/url")
        api.store.close()


class TestChange:
    def test_members_that_are_given(self, api_on_both: Api) -> None:
        api = api_on_both
        made = make(api, event_types=["request.*"], lines=["bot"], description="desk")
        path = f"{URL}/{made['id']}"
        changed = api.client.patch(path, json={"url": "https://example.org/", "event_types": None}).json()
        assert (changed["url"], changed["event_types"]) == ("https://example.org/", None)
        assert (changed["lines"], changed["description"]) == (["bot"], "desk")
        off = api.client.patch(path, json={"enabled": False}).json()
        assert (off["enabled"], off["disabled_reason"]) == (False, "requested")
        on = api.client.patch(path, json={"enabled": True}).json()
        assert (on["enabled"], on["disabled_at"], on["disabled_reason"]) == (True, None, None)

    def test_what_is_refused(self, api: Api) -> None:
        path = f"{URL}/{make(api)['id']}"
        assert_problem(api.client.patch(path, json={"url": "https://127.0.0.1/"}), 422, "address-refused")
        response = api.client.patch(path, json={"event_types": ["requests.*"]})
        assert_problem(response, 422, "unknown-event-type", field="/event_types/0")
        assert_problem(api.client.patch(path, json={"scheme": "hmac"}), 422, "invalid-input", field="/scheme")
        assert_problem(api.client.patch(f"{URL}/whe_0", json={}), 404, "unknown-webhook-endpoint")

    def test_deleting(self, api: Api) -> None:
        path = f"{URL}/{make(api)['id']}"
        assert api.client.delete(path).status_code == 204
        assert_problem(api.client.get(path), 404, "unknown-webhook-endpoint")
        assert_problem(api.client.delete(path), 404, "unknown-webhook-endpoint")
        assert api.count(WebhookSecret) == 0

    def test_rotation(self, api_on_both: Api) -> None:
        api = api_on_both
        made = make(api, scheme="hmac")
        path = f"{URL}/{made['id']}/rotate-secret"
        rotated = api.client.post(path, json={"scheme": "ed25519", "overlap_s": 60})
        assert rotated.status_code == 201
        new, old = rotated.json()["keys"]
        assert (new["scheme"], new["expires_at"], old["scheme"]) == ("ed25519", None, "hmac")
        assert datetime.fromisoformat(old["expires_at"]) < datetime.now(UTC) + timedelta(seconds=61)
        again = api.client.post(path).json()
        assert [key["scheme"] for key in again["keys"]] == ["ed25519", "ed25519", "hmac"]
        assert_problem(api.client.post(path, json={"overlap_s": 10**7}), 422, "invalid-input", field="/overlap_s")


class TestDeliveries:
    def test_what_was_sent_and_what_came_of_it(self, api_on_both: Api) -> None:
        api = api_on_both
        made = make(api)
        path = f"{URL}/{made['id']}/deliveries"
        serve(api, made["id"], 503)
        (item,) = api.client.get(path).json()["items"]
        assert (item["state"], item["endpoint"]) == ("pending", made["id"])
        assert item["message"]["type"] == "webhook_endpoint.created"
        assert item["message"]["data"]["endpoint"] == made["id"]
        (attempt,) = item["attempts"]
        assert (attempt["status"], attempt["error"], attempt["seconds"]) == (503, None, 0.012)
        assert item["next_attempt_at"] > attempt["at"]
        assert api.client.get(f"{path}/{item['id']}").json() == item
        assert api.client.get(path, params={"state": "delivered"}).json()["items"] == []
        assert api.client.get(f"{URL}/{made['id']}").json()["failing_since"]

    def test_pages(self, api: Api) -> None:
        made = make(api)
        for _ in range(3):
            assert api.client.post(f"{URL}/{made['id']}/test").status_code == 202
        path, seen, cursor = f"{URL}/{made['id']}/deliveries", [], None
        while True:
            page = api.client.get(path, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len(seen) == 3
        assert seen == sorted(seen, reverse=True)

    def test_a_test(self, api: Api) -> None:
        made = make(api)
        response = api.client.post(f"{URL}/{made['id']}/test")
        assert (response.status_code, response.json()["state"]) == (202, "pending")
        assert response.json()["message"]["type"] == "webhook_endpoint.test"
        serve(api, made["id"])
        assert api.client.get(response.headers["location"]).json()["state"] == "delivered"

    def test_resend(self, api: Api) -> None:
        made = make(api)
        serve(api, made["id"])
        (item,) = api.client.get(f"{URL}/{made['id']}/deliveries").json()["items"]
        again = api.client.post(f"{URL}/{made['id']}/deliveries/{item['id']}/resend")
        assert (again.status_code, again.json()["id"], again.json()["state"]) == (202, item["id"], "pending")
        missing = api.client.post(f"{URL}/{made['id']}/deliveries/whd_0/resend")
        assert_problem(missing, 404, "unknown-delivery", field="delivery_id")
        foreign = api.client.post(f"{URL}/{make(api)['id']}/deliveries/{item['id']}/resend")
        assert_problem(foreign, 404, "unknown-delivery", field="delivery_id")

    def test_recover(self, api: Api) -> None:
        made = make(api, event_types=["webhook_endpoint.created"])
        serve(api, made["id"], 410)
        path, since = f"{URL}/{made['id']}", (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        assert_problem(api.client.post(f"{path}/recover", json={"since": since}), 409, "endpoint-disabled")
        api.client.patch(path, json={"enabled": True})
        assert api.client.post(f"{path}/recover", json={"since": since}).status_code == 202
        serve(api, made["id"])
        (item,) = api.client.get(f"{path}/deliveries").json()["items"]
        assert [attempt["status"] for attempt in item["attempts"]] == [410, 204]
        long_ago = {"since": "2020-01-01T00:00:00Z"}
        assert_problem(api.client.post(f"{path}/recover", json=long_ago), 422, "invalid-input", field="/since")


def test_only_for_keys_that_manage_webhooks_everywhere(api: Api) -> None:
    made = make(api)
    others = api.client_with(*(scope for scope in Scope if scope is not Scope.webhooks_manage))
    bound = api.client_with(Scope.webhooks_manage, lines=["bot"])
    own = api.client_with(Scope.webhooks_manage)
    path = f"{URL}/{made['id']}"
    calls: list[tuple[str, str, object]] = [
        ("POST", URL, HOOK),
        ("GET", URL, None),
        ("GET", path, None),
        ("PATCH", path, {}),
        ("POST", f"{path}/rotate-secret", None),
        ("POST", f"{path}/test", None),
        ("POST", f"{path}/recover", {"since": datetime.now(UTC).isoformat()}),
        ("GET", f"{path}/deliveries", None),
        ("GET", f"{path}/deliveries/whd_0", None),
        ("POST", f"{path}/deliveries/whd_0/resend", None),
        ("DELETE", path, None),
    ]
    for method, where, body in calls:
        content = {} if body is None else {"json": body}
        assert_problem(others.request(method, where, **content), 403, "missing-scope")  # type: ignore[arg-type]
        assert_problem(bound.request(method, where, **content), 403, "key-is-bound")  # type: ignore[arg-type]
        assert own.request(method, where, **content).status_code in (200, 201, 202, 204, 404)  # type: ignore[arg-type]


def test_what_is_done_is_in_the_audit_chain_without_url_or_secret(api: Api) -> None:
    made = make(api, scheme="hmac")
    path = f"{URL}/{made['id']}"
    api.client.patch(path, json={"description": "privacy desk"})
    api.client.post(f"{path}/rotate-secret")
    api.client.post(f"{path}/test")
    api.client.delete(path)
    answer = api.client.get("/v1/audit")
    actions = [row["action"] for row in answer.json()["items"] if row["action"].startswith("webhook")]
    assert actions == [
        "webhook_endpoint.created",
        "webhook_endpoint.changed",
        "webhook_endpoint.secret_rotated",
        "webhook_endpoint.tested",
        "webhook_endpoint.deleted",
    ]
    for told in (made["url"], made["secret"], "privacy desk"):
        assert told not in answer.text
        assert told not in api.client.get("/v1/events").text


def test_metrics(api: Api) -> None:
    def metric(name: str) -> float:
        lines = api.client_of(None).get("/metrics").text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(name))

    made = make(api)
    assert metric("lethe_webhook_lag_seconds") > 0
    serve(api, made["id"])
    assert metric('lethe_webhook_deliveries{state="delivered"}') == 1
    assert metric('lethe_webhook_deliveries{state="failed"}') == 0
    assert metric("lethe_webhook_lag_seconds") == 0
    api.client.patch(f"{URL}/{made['id']}", json={"enabled": False})
    assert metric("lethe_webhook_endpoints_disabled") == 1
