"""Every decision about a request has a command, and is taken with its reason."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.states import RequestState
from tests.service.cli.conftest import Command
from tests.support.house import House, people, remove

pytestmark = pytest.mark.slow

Lethe = Callable[..., Command]


@pytest.fixture
def waiting(house: House) -> str:
    """A request that somebody has to approve."""
    house.line("careful", people(10), require_approval=True)
    return house.submit(remove("p1-0"))


def test_approve(lethe: Lethe, waiting: str) -> None:
    assert lethe("approve", waiting, "--json").json["state"] == "queued"
    assert lethe("approve", waiting).code == 2


def test_reject_with_a_code(lethe: Lethe, waiting: str) -> None:
    assert lethe("reject", waiting).code == 2
    told = lethe("reject", waiting, "--reason", "not proven", "--code", "insufficient_verification", "--json").json
    assert (told["state"], told["rejection_code"]) == ("rejected", "insufficient_verification")


def test_hold_and_release(lethe: Lethe, waiting: str) -> None:
    held = lethe("hold", waiting, "--reason", "litigation")
    assert held.code == 0
    assert "held" in held.out
    assert lethe("release", waiting, "--json").json["on_hold"] is False


def test_cancel(lethe: Lethe, waiting: str) -> None:
    assert lethe("cancel", waiting, "--json").json["state"] == "canceled"


@pytest.mark.parametrize(("moment", "time"), [("", "23:59:59"), ("T12:30:00", "12:30:00")])
def test_extend(lethe: Lethe, waiting: str, moment: str, time: str) -> None:
    day = f"{datetime.now(UTC) + timedelta(days=50):%Y-%m-%d}"
    told = lethe("extend", waiting, "--until", f"{day}{moment}", "--reason", "many at once", "--json").json
    assert told["due_at"] == f"{day}T{time}Z"


def test_retry(house: House, lethe: Lethe) -> None:
    line = house.line("bot", people(10), recipe=None)
    request_id = house.submit(remove("p1-0"))
    house.serve(line, passed=False)
    assert house.request(request_id).state is RequestState.needs_attention
    assert lethe("retry", request_id, "--json").json["state"] == "queued"
