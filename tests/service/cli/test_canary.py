"""`lethe canary`: show, begin, observe, promote, end."""

from collections.abc import Callable

import pytest

from tests.service.cli.conftest import Command
from tests.support.house import House, people

pytestmark = pytest.mark.slow

Lethe = Callable[..., Command]


@pytest.fixture
def tried(house: House, lethe: Lethe) -> Lethe:
    """v1 in production, v2 on trial for a fifth of the traffic."""
    bound = {"metric": "error_rate", "at_most": 0.02}
    rules = {"weight": 0.2, "hold_s": 0, "bounds": [bound]}
    line = house.line("bot", people(8), promotion="canary", canary=rules)
    assert lethe("forget", "bot", "--instance", "p1-0", "--no-wait").code == 0
    house.serve(line)
    return lethe


def test_it_shows_what_is_on_trial(tried: Lethe) -> None:
    shown = tried("canary", "show", "bot")
    for part in ("bot@production", "v1", "80%", "v2 on trial", "20%", "unmeasured:error_rate"):
        assert part in shown.out, part
    assert tried("canary", "show", "bot", "--json").json["canary"]["version"] == "v2"


def test_what_is_measured_decides(tried: Lethe) -> None:
    assert tried("canary", "observe", "bot", "error_rate=0.01", "--json").json["version"] == "v2"
    gone = tried("canary", "observe", "bot", "error_rate=0.01", "--json")
    assert (gone.code, gone.json["code"]) == (2, "no-canary")


def test_by_hand(tried: Lethe) -> None:
    assert tried("canary", "end", "bot", "--json").json["canary"] is None
    options = ("--weight", "0.5", "--bound", "score >= 0.8")
    begun = tried("canary", "begin", "bot", "v2", *options, "--json").json["canary"]
    assert (begun["weight"], begun["rules"]["hold_s"]) == (0.5, 0), "what no option says is as in the policy"
    assert [(one["metric"], one["at_least"]) for one in begun["rules"]["bounds"]] == [("score", 0.8)]
    assert tried("canary", "promote", "bot", "--json").json["version"] == "v2"
    assert "100%" in tried("canary", "show", "bot").out


def test_as_the_policy_says(tried: Lethe) -> None:
    tried("canary", "end", "bot")
    assert tried("canary", "begin", "bot", "v2", "--json").json["canary"]["weight"] == 0.2


@pytest.mark.parametrize(
    "arguments",
    [
        ("observe", "bot", "error_rate"),
        ("observe", "bot", "error_rate=nan"),
        ("observe", "bot", "error_rate=low"),
        ("begin", "bot", "v2", "--bound", "error_rate=0.1"),
        ("begin", "bot", "v2", "--weight", "2"),
        ("begin", "bot", "v7"),
        ("show", "nobody"),
    ],
)
def test_what_is_wrong_is_refused(tried: Lethe, arguments: tuple[str, ...]) -> None:
    assert tried("canary", *arguments).code == 2
