"""`lethe webhooks`: from adding a URL to sending again what did not arrive."""

from collections.abc import Callable

import pytest

from tests.service.cli.conftest import Command

pytestmark = pytest.mark.slow

Lethe = Callable[..., Command]
HOOK = "https://example.com/hook"


def test_the_life_of_an_endpoint(lethe: Lethe) -> None:
    made = lethe("webhooks", "add", HOOK, "--event", "request.*", "--line", "bot", "--json").json
    assert (made["event_types"], made["lines"], made["secret"]) == (["request.*"], ["bot"], None)
    shown = lethe("webhooks", "list").out
    assert made["id"] in shown
    assert made["keys"][0]["public_key"] in shown
    changed = lethe("webhooks", "change", made["id"], "--receiver", f"{HOOK}/2", "--disable", "--json").json
    assert (changed["url"], changed["enabled"], changed["event_types"]) == (f"{HOOK}/2", False, ["request.*"])
    assert "off: requested" in lethe("webhooks", "show", made["id"]).out
    assert lethe("webhooks", "remove", made["id"]).code == 0
    assert lethe("webhooks", "list", "--json").json == []


def test_a_secret_is_shown_once(lethe: Lethe) -> None:
    added = lethe("webhooks", "add", HOOK, "--scheme", "hmac").out
    assert "whsec_" in added
    assert "whsec_" not in lethe("webhooks", "list").out
    (endpoint,) = lethe("webhooks", "list", "--json").json
    rotated = lethe("webhooks", "rotate", endpoint["id"], "--overlap-s", "60", "--json").json
    assert rotated["secret"].startswith("whsec_")
    assert len(rotated["keys"]) == 2


def test_what_was_sent_and_sending_it_again(lethe: Lethe) -> None:
    endpoint = lethe("webhooks", "add", HOOK, "--json").json["id"]
    sent = lethe("webhooks", "test", endpoint, "--json").json
    assert (sent["state"], sent["message"]["type"]) == ("pending", "webhook_endpoint.test")
    assert lethe("webhooks", "resend", endpoint, sent["id"], "--json").json["id"] == sent["id"]
    assert "webhook_endpoint.test" in lethe("webhooks", "deliveries", endpoint, "--state", "pending").out
    assert lethe("webhooks", "deliveries", endpoint, "--state", "failed", "--json").json == []
    refused = lethe("webhooks", "recover", endpoint, "--since", "2020-01-01", "--json")
    assert (refused.code, refused.json["code"]) == (2, "invalid-input")


def test_what_is_refused(lethe: Lethe) -> None:
    refused = lethe("webhooks", "add", "https://127.0.0.1/", "--json")
    assert (refused.code, refused.json["code"]) == (2, "address-refused")
    assert lethe("webhooks", "show", "whe_0").code == 2
