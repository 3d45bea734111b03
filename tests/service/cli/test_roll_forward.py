"""`lethe roll-forward`: the way back that undoes no erasure."""

from collections.abc import Callable

import pytest

from tests.service.cli.conftest import Command
from tests.support.house import House, people

pytestmark = pytest.mark.slow

Lethe = Callable[..., Command]


@pytest.fixture
def erased(house: House, lethe: Lethe) -> Lethe:
    """v2 forgot what v1 knows."""
    line = house.line("bot", people(6))
    assert lethe("forget", "bot", "--instance", "p1-0", "--no-wait").code == 0
    house.serve(line)
    return lethe


def test_the_plan_changes_nothing(erased: Lethe) -> None:
    planned = erased("roll-forward", "bot", "v1", "--plan")
    assert "11" in planned.out
    assert erased("roll-forward", "bot", "v1", "--plan", "--json").json["replayed"] == 1
    assert [one["version"] for one in erased("versions", "bot", "--json").json] == ["v2", "v1"]


def test_a_new_version_is_made(erased: Lethe) -> None:
    made = erased("roll-forward", "bot", "v1", "--no-wait", "--json")
    assert (made.code, made.json["version"], made.json["rolls_forward"]) == (0, "v3", "v1")


def test_what_is_wrong_is_refused(erased: Lethe) -> None:
    refused = erased("roll-forward", "bot", "v7", "--json")
    assert (refused.code, refused.json["code"]) == (2, "unknown-version")
