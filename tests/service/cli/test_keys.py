"""`lethe keys`: list, create, rotate, revoke."""

from collections.abc import Callable

import pytest

from service.client import Lethe as Client
from service.domain.errors import Unauthenticated
from tests.service.cli.conftest import Command
from tests.support.live_service import Service

pytestmark = pytest.mark.slow

Lethe = Callable[..., Command]


def test_a_key_from_its_making_to_its_end(lethe: Lethe, service: Service) -> None:
    made = lethe("keys", "create", "desk", "--scope", "runs:read", "--line", "bot", "--json").json
    assert (made["name"], made["scopes"], made["lines"]) == ("desk", ["runs:read"], ["bot"])
    rotated = lethe("keys", "rotate", made["id"], "--overlap-s", "0", "--json").json
    assert rotated["id"] == made["id"]
    with Client(service.url, rotated["token"]) as client:
        assert list(client.list_runs()) == []
    with Client(service.url, made["token"]) as client, pytest.raises(Unauthenticated) as replaced:
        list(client.list_runs())
    assert replaced.value.code == "key-replaced"
    assert lethe("keys", "revoke", made["id"]).code == 0
    with Client(service.url, rotated["token"]) as client, pytest.raises(Unauthenticated):
        list(client.list_runs())
    shown = {key["id"]: key for key in lethe("keys", "list", "--json").json}
    assert shown[made["id"]]["revoked_at"] is not None


def test_what_people_are_shown(lethe: Lethe) -> None:
    made = lethe("keys", "create", "desk", "--scope", "runs:read", "--expires", "2150-01-01").out
    assert "key, shown this once: lethe_" in made
    assert "until 2150-01-01 00:00" in made
    listed = lethe("keys", "list").out
    assert "lethe_" not in listed
    assert "never" in listed
    key_id = lethe("keys", "list", "--json").json[0]["id"]
    rotated = lethe("keys", "rotate", key_id)
    assert "key, shown this once: lethe_" in rotated.out
    assert "what was sent before works until" in rotated.err


def test_what_is_refused(lethe: Lethe) -> None:
    assert lethe("keys", "create", "desk", "--scope", "everything").code == 2
    refused = lethe("keys", "rotate", "key_0", "--json")
    assert (refused.code, refused.json["code"]) == (2, "unknown-key")
