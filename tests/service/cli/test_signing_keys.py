"""`lethe signing-keys`: list, rotate, revoke."""

from collections.abc import Callable

import pytest

from tests.service.cli.conftest import Command

pytestmark = pytest.mark.slow

Lethe = Callable[..., Command]


def test_list_rotate_and_revoke(lethe: Lethe) -> None:
    (first,) = (key for key in lethe("signing-keys", "list", "--json").json if key["purpose"] == "statements")
    rotated = lethe("signing-keys", "rotate", "--json").json
    assert (rotated["kid"] != first["kid"], rotated["purpose"]) == (True, "statements")
    assert lethe("signing-keys", "rotate", "--purpose", "models", "--json").json["purpose"] == "models"
    revoked = lethe("signing-keys", "revoke", "--reason", "withdrawn", "--json", "--", first["kid"]).json
    assert (revoked["kid"], revoked["revocation_reason"]) == (first["kid"], "withdrawn")
    shown = lethe("signing-keys", "list").out
    assert "signs" in shown
    assert "revoked: withdrawn" in shown


def test_what_is_refused(lethe: Lethe) -> None:
    assert lethe("signing-keys", "revoke", "nobody", "--reason", "boredom").code == 2
    refused = lethe("signing-keys", "revoke", "nobody", "--reason", "withdrawn", "--json")
    assert (refused.code, refused.json["code"]) == (2, "unknown-signing-key")
