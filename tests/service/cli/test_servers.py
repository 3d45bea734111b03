"""`lethe servers`: add, list, show, remove."""

from collections.abc import Callable

import pytest

from tests.service.cli.conftest import Command
from tests.support.house import House, people

pytestmark = pytest.mark.slow

Lethe = Callable[..., Command]


def test_add_list_show_and_remove(lethe: Lethe, house: House) -> None:
    house.line("bot", people(4))
    servers = ("--kind", "vllm", "--server", "http://vllm-0:8000", "--server", "http://vllm-1:8000", "--line", "bot")
    added = lethe("servers", "add", "chat", *servers, "--max-lora-rank", "64", "--json").json
    assert (added["name"], len(added["replicas"])) == ("chat", 2)
    assert [target["id"] for target in lethe("servers", "list", "--json").json] == [added["id"]]
    assert "0/2" in lethe("servers", "list").out
    shown = lethe("servers", "show", added["id"]).out
    assert "http://vllm-0:8000" in shown
    assert "behind" in shown
    assert lethe("servers", "remove", added["id"], "--json").json == {"id": added["id"], "state": "leaving"}
    assert "forgotten" in lethe("servers", "remove", added["id"], "--forget").out
    assert lethe("servers", "list", "--json").json == []


def test_what_is_refused(lethe: Lethe) -> None:
    unknown = lethe("servers", "add", "chat", "--kind", "vllm", "--server", "http://a", "--line", "nobody", "--json")
    assert (unknown.code, unknown.json["code"]) == (2, "unknown-adapter")
    assert lethe("servers", "show", "srv_0", "--json").json["code"] == "unknown-serving-target"
