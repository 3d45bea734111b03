"""`lethe summary`: the figures of a period, for people, machines and spreadsheets."""

import csv
import io
from collections.abc import Callable

import pytest

from tests.service.cli.conftest import Command
from tests.support.house import House, people

pytestmark = pytest.mark.slow

Lethe = Callable[..., Command]


@pytest.fixture
def asked(house: House, lethe: Lethe) -> Lethe:
    """Two erasures under the GDPR, one of which is answered; one of nobody."""
    line = house.line("bot", people(8))
    assert lethe("forget", "bot", "--instance", "p1-0", "--regulation", "gdpr", "--no-wait").code == 0
    house.serve(line)
    assert lethe("forget", "bot", "--instance", "p2-0", "--regulation", "gdpr", "--no-wait").code == 0
    assert lethe("forget", "bot", "--subject", "Nobody", "--no-wait").code == 0
    return lethe


def test_all_requests(asked: Lethe) -> None:
    read = asked("summary", "--json")
    total = read.json["total"]
    assert (read.code, total["received"], total["complied"], total["no_match"], total["open"]) == (0, 3, 1, 1, 1)
    shown = asked("summary").out
    assert all(word in shown for word in ("received", "median", "gdpr", "remove"))


def test_some_of_them(asked: Lethe) -> None:
    assert asked("summary", "--regulation", "gdpr", "--json").json["total"]["received"] == 2
    assert asked("summary", "--from", "2026-01-01", "--to", "2026-01-02", "--json").json["total"]["received"] == 0
    assert asked("summary", "--from", "2020-01-01", "--adapter", "bot", "--json").json["total"]["received"] == 2
    refused = asked("summary", "--adapter", "nobody", "--json")
    assert (refused.code, refused.json["code"]) == (2, "unknown-adapter")


def test_a_table(asked: Lethe) -> None:
    rows = list(csv.DictReader(io.StringIO(asked("summary", "--csv").out)))
    assert (rows[0]["group"], rows[0]["received"]) == ("total", "3")
